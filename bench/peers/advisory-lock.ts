/** The npm package advisory-lock: the server's session locks, each on a connection of its own. Nothing is written. */
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'
import { importPeer } from './packages.ts'

interface AdvisoryLockModule {
  readonly default: (
    connectionString: string,
  ) => (name: string) => { tryLock(): Promise<(() => Promise<unknown>) | undefined> }
}

async function cycles({ database }: Bench, callers: number): Promise<Runner> {
  const { default: advisoryLock } = await importPeer<AdvisoryLockModule>('advisory-lock')
  const createMutex = advisoryLock(database.connectionString)
  const calls = Array.from({ length: callers }, (_, index): Call => {
    const mutex = createMutex(`advisory ${index}`)
    return async () => {
      const unlock = await mutex.tryLock()
      if (unlock === undefined) throw new Error(`advisory ${index} was refused`)
      await unlock()
    }
  })
  return callersRunner('cycles', calls, async () => undefined)
}

export function advisoryLockCycles(callers: number): Contestant {
  return {
    name: 'npm advisory-lock',
    how: 'a session lock, and a connection for each; nothing durable',
    open: (bench) => cycles(bench, callers),
  }
}
