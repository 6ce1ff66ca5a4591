/** Whoever waits inside a statement holds a snapshot, and vacuum can remove nothing that it might still see. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchDatabase } from './bench-database.ts'
import type { Runner } from './scenario.ts'
import { toldMost } from './told.ts'

const FIGURE = 'oldest snapshot ms'
const LOOK_EACH_MS = 50

// What the sessions do is read first, what they hold after that: one that was idle may have begun meanwhile.
const OLDEST = `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 * 1000 AS ms
  FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle' AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()`

export const SNAPSHOT_TOLD = toldMost(FIGURE)

/** Looks, while a round runs, how old the oldest snapshot of a session is. */
export async function watchingSnapshots(database: BenchDatabase, runner: Runner): Promise<Runner> {
  const session = await database.connect()
  return {
    ...runner,
    async round(forMs) {
      let oldestMs = 0
      let isOver = false
      const watching = async () => {
        while (!isOver) {
          const { rows } = await session.query<{ ms: number }>({ name: 'oldest', text: OLDEST })
          oldestMs = Math.max(oldestMs, rows[0]?.ms ?? 0)
          await sleep(LOOK_EACH_MS)
        }
      }
      const watched = watching()
      const figures = await runner.round(forMs)
      isOver = true
      await watched
      return { ...figures, [FIGURE]: oldestMs }
    },
    async close() {
      await runner.close()
      await session.end()
    },
  }
}
