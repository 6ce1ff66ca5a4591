/**
 * A process that says what one of many things costs it in bytes of the heap, after a garbage collection: leases that it holds, elections that it
 * observes, values that it watches. Run with --expose-gc; arguments: connection string, kind, how many.
 */
import { PgElect } from '../../src/index.ts'

const AT_ONCE = 200

const [connectionString, kind = '', count = ''] = process.argv.slice(2)
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
// Renewals would come in between, and what they leave is not what is asked for.
const elect = new PgElect({ connectionString, ttlMs: 86_400_000, logger: quiet })
const kept: unknown[] = []

const make: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
  lease: (name) => elect.acquire(name),
  async observer(name) {
    const changes = elect.election(name).observe()
    await changes.next()
    // It waits for the next change.
    return { changes, next: changes.next() }
  },
  async watcher(name) {
    const values = elect.register(name).watch()
    await values.next()
    return { values, next: values.next() }
  },
}

// What is made once for all, and compiled, is not to be shared out.
await makeMany(AT_ONCE, 'warm')
const before = heapBytes()
await makeMany(Number(count), 'kept')
process.send?.((heapBytes() - before) / Number(count), () => process.exit())

async function makeMany(many: number, prefix: string): Promise<void> {
  const one = make[kind]
  if (one === undefined) throw new Error(`Invalid kind: expected ${Object.keys(make)}, got ${kind}`)
  let next = 0
  const makeSome = async () => {
    while (next < many) {
      next += 1
      kept.push(await one(`memory ${kind} ${prefix} ${next}`))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, makeSome))
}

function heapBytes(): number {
  if (globalThis.gc === undefined) throw new Error('Run it with --expose-gc')
  for (let i = 0; i < 3; i++) globalThis.gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
