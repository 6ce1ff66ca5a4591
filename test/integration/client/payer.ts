/**
 * A process that does one operation of a lease and can be killed at each step of it: it says which step it has reached, and goes on only
 * when it is told.
 *
 * Arguments: connection string, lease, operation key, `inside` or the address of the payment service.
 */
import pg from 'pg'
import { PgElect } from '../../../src/index.ts'

const [connectionString = '', leaseName = '', key = '', service = ''] = process.argv.slice(2)

async function reached(step: string): Promise<void> {
  const told = new Promise((resolve) => process.once('message', resolve))
  process.send?.({ step })
  await told
}

const pool = new pg.Pool({ connectionString })
const elect = new PgElect({ connectionString, ttlMs: 1000 })
const lease = await elect.acquire(leaseName)
await reached('before begin')
const result =
  service === 'inside'
    ? await lease.once(key, pool, async (client, { attempt }) => {
        await reached('begun')
        await client.query('INSERT INTO paid VALUES ($1)', [key])
        await reached('called')
        return { attempt }
      })
    : await lease.once(key, async ({ idempotencyKey, attempt }) => {
        await reached('begun')
        const answer = await fetch(service, {
          method: 'POST',
          headers: { 'Idempotency-Key': idempotencyKey },
        })
        await reached('called')
        return { attempt, status: answer.status }
      })
await reached('done')
process.send?.({ result })
await elect.close()
await pool.end()
process.disconnect()
