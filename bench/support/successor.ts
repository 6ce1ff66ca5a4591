/** A process that waits for the lease when it is told to, and says at which moment of the machine's monotonic clock its work began. */
import { type Lease, PgElect } from '../../src/index.ts'

const elect = new PgElect({ connectionString: process.argv[2] })
let lease: Lease | undefined
process.on('message', async (word) => {
  if (word === 'release') return lease?.release()
  lease = await elect.acquire('timed')
  const workNs = process.hrtime.bigint()
  process.send?.(String(workNs))
  return undefined
})
process.send?.('ready')
