/** A process that uses all primitives over and over, until it is killed. Waits to be told under which name, and from which seed. */
import { setTimeout as delay } from 'node:timers/promises'
import { PgElect } from '../../../src/index.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { persistently, silent, TTL_MS, uses } from './uses.ts'

const [connectionString = ''] = process.argv.slice(2)

process.once('message', ({ round, seed }: { round: string; seed: number }) => {
  const random = seededRandom(seed)
  const client = new PgElect({ connectionString, ttlMs: TTL_MS, logger: silent })
  const pause = () => delay(20 * random())
  const { signal } = new AbortController()
  for (const [primitive, use] of Object.entries(uses)) {
    const goOn = async () => {
      for (;;) await persistently(() => use.cycle(client, `${round} ${primitive}`, pause, signal))
    }
    goOn().catch((error: unknown) => process.send?.({ failed: `${primitive}: ${error}` }))
  }
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
