import type { Fault } from './fault.ts'

/** @throws if what is to be replaced is not there exactly once: the code has moved on, and the fault with it. */
export function faultyText(text: string, { file, from, to }: Pick<Fault, 'file' | 'from' | 'to'>): string {
  const [before, after, ...more] = text.split(from)
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(
      `${file}: expected ${JSON.stringify(from)} once, found it ${text.split(from).length - 1} times`,
    )
  }
  return before + to + after
}
