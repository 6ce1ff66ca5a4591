import type { Bench, Contestant, Runner } from './scenario.ts'

/** For a contestant that would be in the way of the others, or they of it: opens it on a database of its own, which goes with it. */
export async function inOwnDatabase(bench: Bench, open: (own: Bench) => Promise<Runner>): Promise<Runner> {
  const database = await bench.database.another()
  try {
    const runner = await open({ ...bench, database })
    return {
      prepare: async (forMs) => runner.prepare?.(forMs),
      round: (forMs) => runner.round(forMs),
      async close() {
        await runner.close()
        await database.drop()
      },
    }
  } catch (error) {
    await database.drop()
    throw error
  }
}

/** The same, of a contestant's `open`: whoever listens in a database is woken by all that is told in it, also by other contestants. */
export function withOwnDatabase(open: Contestant['open']): Contestant['open'] {
  return (bench) => inOwnDatabase(bench, open)
}
