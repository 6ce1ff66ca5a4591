/** Callers that do the same thing again and again, each on its own, and how often they do it in a second. */
import type { Figures, Runner } from './scenario.ts'
import { quantile } from './statistics.ts'

export type Call = () => Promise<unknown>

/** A runner whose rounds tell `<unit>/s` of all callers together, and the latency of one call. */
export function callersRunner(unit: string, callers: readonly Call[], close: () => Promise<unknown>): Runner {
  return {
    async round(forMs): Promise<Figures> {
      const timesMs: number[] = []
      const startMs = performance.now()
      await Promise.all(
        callers.map(async (call) => {
          for (let begunMs = startMs; begunMs - startMs < forMs; ) {
            await call()
            const nowMs = performance.now()
            timesMs.push(nowMs - begunMs)
            begunMs = nowMs
          }
        }),
      )
      const tookMs = performance.now() - startMs
      return {
        [`${unit}/s`]: (timesMs.length / tookMs) * 1000,
        'p50 ms': quantile(timesMs, 0.5),
        'p99 ms': quantile(timesMs, 0.99),
      }
    },
    async close() {
      await close()
    },
  }
}
