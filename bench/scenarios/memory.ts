/** What a held lease, and one who watches, takes up in the memory of a client's process. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Figures, Runner, Scenario } from '../harness/scenario.ts'

const FIGURE = 'bytes each'
const QUICK_PART = 0.1

async function measuring({ database, isQuick }: Bench, kind: string, count: number): Promise<Runner> {
  const script = fileURLToPath(new URL('../support/memory.ts', import.meta.url))
  const many = isQuick ? count * QUICK_PART : count
  return {
    async round(): Promise<Figures> {
      const child = fork(script, [database.connectionString, kind, String(many)], {
        execArgv: ['--expose-gc', '--import', 'tsx'],
      })
      const ended = once(child, 'exit').then(([code]) => {
        throw new Error(`the process that measures memory ended with code ${code}`)
      })
      const [bytes] = await Promise.race([once(child, 'message'), ended])
      await ended.catch(() => undefined)
      return { [FIGURE]: Number(bytes) }
    },
    close: async () => undefined,
  }
}

const contestant = (name: string, how: string, kind: string, count: number, isLong = true): Contestant => ({
  name,
  how: `${how}; ${count.toLocaleString('en-US')} in one client`,
  // No time is measured: they may all be in each other's way.
  isIdle: true,
  async open(bench) {
    if (isLong) requireTime(bench)
    return measuring(bench, kind, count)
  },
})

export const memory: Scenario = {
  name: 'memory',
  title: 'Memory of a client, after a garbage collection',
  figure: FIGURE,
  better: 'less',
  rounds: 1,
  contestants: [
    contestant('a held lease', 'acquire(): heartbeat, signal', 'lease', 10_000, false),
    contestant('an observer', 'election.observe()', 'observer', 1000),
    contestant('a watcher', 'register.watch()', 'watcher', 1000),
  ],
  goals: [],
}
