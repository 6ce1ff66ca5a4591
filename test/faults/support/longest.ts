/** Durations of many rounds, for the one line that a proof prints. */
export class Longest {
  readonly #seen = new Map<string, number[]>()

  see(durationsMs: Readonly<Record<string, number>>): void {
    for (const [what, ms] of Object.entries(durationsMs)) {
      const all = this.#seen.get(what) ?? []
      all.push(ms)
      this.#seen.set(what, all)
    }
  }

  /** Such as "takeover 1200 ms (median 800)". */
  toString(): string {
    return [...this.#seen]
      .map(([what, all]) => {
        const sorted = all.toSorted((one, other) => one - other)
        const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
        return `${what} ${Math.round(sorted.at(-1) ?? Number.NaN)} ms (median ${Math.round(median)})`
      })
      .join(', ')
  }
}
