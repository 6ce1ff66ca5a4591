/** One fault on purpose, in one line, that the tests have to notice. */
export interface Mutant {
  /** Unique in its area: what is wrong, in a few words joined by hyphens. */
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  /** Text that occurs exactly once in that file; it may span lines, so that it does. */
  readonly from: string
  readonly to: string
  /** What it would cost those who rely on the package. */
  readonly costs: string
  /** The test files that are to notice, as few and as quick as can be. */
  readonly tests: readonly string[]
  /** One of the few that `--quick` tries. */
  readonly isQuick?: true
}

/** A mutant in its area, as it is called in the output: `area/name`. */
export interface ListedMutant extends Mutant {
  readonly id: string
}

/** How often the text that a mutant replaces occurs. */
export function occurrences(text: string, part: string): number {
  return text.split(part).length - 1
}

/** @throws Error unless the mutant fits the text of its file in exactly one place, and changes it. */
export function mutated(text: string, { id, file, from, to }: ListedMutant): string {
  const found = occurrences(text, from)
  if (found !== 1) throw new Error(`${id}: expected its text once in ${file}, found it ${found} times`)
  if (from === to) throw new Error(`${id} changes nothing`)
  return text.replace(from, () => to)
}
