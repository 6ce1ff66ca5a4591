import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/postgres/embedded.ts'
import { installSchema } from '../support/postgres/install.ts'
import { eventually, grantTo, release, scalar, sqlStateOf } from './leases.ts'

// A server of its own: a full queue fails the NOTIFY of everybody, and its size is set at the start (from 17 on).
let server: EmbeddedPostgres | undefined
const clients: pg.Client[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { max_notify_queue_pages: 64 } })
  await installSchema(server.connectionString)
})

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.end()))
  await server?.stop()
})

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: server?.connectionString })
  client.on('error', () => {})
  await client.connect()
  clients.push(client)
  return client
}

test('a full notification queue fails no grant and no release', async () => {
  const [stuck, writer] = [await connect(), await connect()]
  // A listener inside a transaction reads nothing, so the queue cannot be emptied.
  await stuck.query('LISTEN elect')
  await stuck.query('BEGIN')
  await stuck.query('SELECT')
  const usage = () => scalar<number>(writer, 'SELECT pg_notification_queue_usage()')
  const fill = () => sqlStateOf(writer.query("SELECT pg_notify('other', repeat('x', 7000) || random())"))
  while ((await fill()) === '00000') expect(await usage()).toBeLessThanOrEqual(1)
  expect(await fill()).toBe('54000')

  const token = await grantTo(writer, 'hinted', 'ada')
  expect(await release(writer, 'hinted', token)).toBe(true)
  await grantTo(writer, 'hinted', 'bob')

  // It was the full queue that kept them quiet: once it is read, changes are told again.
  const heard: unknown[] = []
  stuck.on('notification', ({ payload }) => heard.push(JSON.parse(String(payload)).event))
  await stuck.query('COMMIT')
  await eventually(async () => (await usage()) < 0.5)
  await grantTo(writer, 'hinted again', 'ada')
  await eventually(async () => {
    await stuck.query('SELECT')
    return heard.length > 0
  })
  expect(heard).toEqual(['granted'])
}, 60_000)
