import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  inTransaction,
  oneRow,
  release,
  rowsOf,
  scalar,
  stored,
  swap,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

const lookAt = (name: string) => rowsOf(client, 'SELECT * FROM elect.get_lease(name => $1)', [name])
const listed = (name: string) => rowsOf(client, 'SELECT * FROM elect.current_leases WHERE name = $1', [name])

test('get_lease and the view tell who holds a lease', async () => {
  const { token } = await acquire(client, 'held', 'ada', '1 hour', { url: 'http://ada' })
  const row = await stored(client, 'held')
  const [lease, ...others] = await lookAt('held')
  expect(others).toEqual([])
  expect(lease).toEqual({
    holder: 'ada',
    token: `${token}`,
    version: `${token}`,
    metadata: { url: 'http://ada' },
    acquired_at: row.acquired_at,
    expires_at: row.expires_at,
    expires_in: expect.anything(),
    step_down_requested: false,
    in_grace: false,
  })
  const { expires_in: _left, in_grace: _grace, ...same } = { ...lease }
  expect(await listed('held')).toEqual([
    {
      name: 'held',
      epoch: `${row.epoch}`,
      ttl: { hours: 1 },
      renewed_at: row.renewed_at,
      expires_in: expect.anything(),
      part_of: null,
      session: null,
      ...same,
    },
  ])
})

test('the time that is left is told from now, also within one transaction', async () => {
  await grantTo(client, 'shrinking', 'ada', '1 minute')
  await inTransaction(client, async () => {
    const left = "SELECT extract(epoch FROM expires_in)::float8 FROM elect.get_lease('shrinking')"
    const first = await scalar<number>(client, left)
    expect(await scalar<number>(client, left)).toBeLessThan(first)
    expect(first).toBeLessThan(60)
    expect(first).toBeGreaterThan(0)
  })
})

test('a lease without a ttl is left for ever', async () => {
  await swap(client, 'for ever', 'ada', null)
  expect(await lookAt('for ever')).toMatchObject([{ holder: 'ada', expires_at: null, expires_in: null }])
  expect(await listed('for ever')).toMatchObject([{ holder: 'ada', expires_at: null, expires_in: null }])
})

test('what never was, was released or emptied, or has expired is not shown', async () => {
  await release(client, 'released', await grantTo(client, 'released', 'ada'))
  await swap(client, 'emptied', 'a', null)
  await swap(client, 'emptied', null, 'a')
  await grantTo(client, 'expired', 'ada', '100 milliseconds')
  await untilExpired(client, 'expired')
  for (const name of ['never was', 'released', 'emptied', 'expired']) {
    expect(await lookAt(name)).toEqual([])
    expect(await listed(name)).toEqual([])
  }
})

test('a lease that expires within a transaction is gone from then on', async () => {
  await grantTo(client, 'expires', 'ada', '150 milliseconds')
  await inTransaction(client, async () => {
    expect([(await lookAt('expires')).length, (await listed('expires')).length]).toEqual([1, 1])
    await untilExpired(client, 'expires')
    expect([(await lookAt('expires')).length, (await listed('expires')).length]).toEqual([0, 0])
  })
})

test.each(['READ ONLY', 'ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE'])(
  'they work in a transaction %s, and lock nothing',
  async (mode) => {
    const name = `looked at ${mode}`
    await grantTo(client, name, 'ada')
    await inTransaction(
      client,
      async () => {
        expect(await lookAt(name)).toMatchObject([{ holder: 'ada' }])
        expect(await listed(name)).toMatchObject([{ holder: 'ada' }])
        expect(await scalar(client, 'SELECT pg_current_xact_id_if_assigned()')).toBeNull()
      },
      `BEGIN ${mode}`,
    )
    expect(await oneRow(client, 'SELECT xmax FROM elect.leases WHERE name = $1', [name])).toEqual({
      xmax: '0',
    })
  },
)

test('a look does not wait for who is at the row', async () => {
  await grantTo(client, 'busy', 'ada')
  const other = await database.connect()
  await inTransaction(other, async () => {
    await other.query("SELECT FROM elect.leases WHERE name = 'busy' FOR UPDATE")
    expect(await lookAt('busy')).toHaveLength(1)
    expect(await listed('busy')).toHaveLength(1)
  })
})
