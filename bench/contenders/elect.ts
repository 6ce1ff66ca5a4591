/** Contenders by the public client, each with a client of its own, as in processes of their own. */
import { PgElect, type PgElectOptions, type Takeover } from '../../src/index.ts'
import type { Contender, Release } from './contender.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

/** `line`: the table's line; `queue`: the server's lock queue; `fast`: the advisory lock alone, without a lease. */
export type MutexWay = 'line' | 'queue' | 'fast'

export async function openMutexContender(connectionString: string, way: MutexWay): Promise<Contender> {
  return contender({ connectionString }, (elect, name) => {
    const mutex = way === 'fast' ? elect.fastMutex(name) : elect.mutex(name, { wait: way })
    return mutex.lock()
  })
}

export async function openElectionContender(
  connectionString: string,
  ttlMs: number,
  takeover: Takeover,
): Promise<Contender> {
  return contender({ connectionString, ttlMs }, (elect, name) =>
    elect.election(name, { takeover }).campaign(),
  )
}

function contender(
  options: PgElectOptions,
  wait: (elect: PgElect, name: string) => Promise<{ release(): Promise<unknown> }>,
): Contender {
  const elect = new PgElect({ logger: quiet, ...options })
  return {
    async acquire(name): Promise<Release> {
      const held = await wait(elect, name)
      return () => held.release()
    },
    close: () => elect.close(),
  }
}
