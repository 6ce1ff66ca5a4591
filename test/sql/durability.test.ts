import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  inTransaction,
  release,
  renew,
  scalar,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'
import { stand } from './line.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

const setting = () => scalar<string>(client, "SELECT current_setting('synchronous_commit')")

/** What would let a second holder in, were it lost in a crash after the first was told. */
const promises: Record<string, (name: string, token: number) => Promise<unknown>> = {
  'a grant': (name) => acquire(client, `${name}, new`, 'ada'),
  'a grant of many': (name) =>
    client.query("SELECT elect.acquire_leases(ARRAY[$1, $1 || ' too'], '{ada,ada}', '{1 s,1 s}')", [
      `${name}, new`,
    ]),
  'a grant of many that were held': async (name, token) => {
    await client.query('SELECT elect.release_leases(ARRAY[$1], ARRAY[$2::bigint])', [name, token])
    await client.query("SELECT elect.acquire_leases(ARRAY[$1], '{bob}', '{1 s}')", [name])
  },
  'a takeover': async (name) => {
    await grantTo(client, `${name}, expiring`, 'ada', '100 milliseconds')
    await client.query("SELECT set_config('synchronous_commit', 'off', true)")
    await untilExpired(client, `${name}, expiring`)
    await grantTo(client, `${name}, expiring`, 'bob')
  },
  'a queued grant': async (name, token) => {
    await release(client, name, token)
    await client.query("SELECT elect.acquire_queued($1, 'bob'), pg_advisory_unlock_all()", [name])
  },
  'a hand-off': async (name, token) => {
    await stand(client, name, 'bob')
    await release(client, name, token)
  },
  'a retry': (name) => acquire(client, name, 'ada'),
  'a renewal': (name, token) => renew(client, name, token),
  'a renewal of many': (name, token) =>
    client.query('SELECT elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint])', [name, token]),
  'a transfer': (name, token) => transfer(client, name, token, 'bob'),
  'a swap': (name) => swap(client, name, 'bob', 'ada'),
  'a swap to the same value': (name) => swap(client, name, 'ada', 'ada'),
  'a swap to empty': (name) => swap(client, name, null, 'ada'),
  'a swap of versions': (name, token) =>
    client.query("SELECT elect.compare_and_swap_version($1, 'bob', $2)", [name, token]),
  'a forced release': (name) => client.query("SELECT elect.force_release($1, 'a test')", [name]),
}
const writes = Object.entries(promises)

describe.each(['off', 'local', 'remote_write'])('with synchronous_commit %s', (weak) => {
  test.each(writes)('%s is raised to on, for its transaction only', async (what, write) => {
    const name = `${what}, ${weak}`
    const token = await grantTo(client, name, 'ada')
    await client.query(`SET synchronous_commit = ${weak}`)
    await client.query('BEGIN')
    expect(await setting()).toBe(weak)
    await write(name, token)
    expect(await setting()).toBe('on')
    // What is set for the session would outlive a commit, not a rollback.
    await client.query('COMMIT')
    expect(await setting()).toBe(weak)
  })

  test('a release, a refusal and a look leave it as it is', async () => {
    await client.query(`SET synchronous_commit = ${weak}`)
    const token = await grantTo(client, `released, ${weak}`, 'ada')
    await inTransaction(client, async () => {
      await acquire(client, `released, ${weak}`, 'bob')
      await client.query('SELECT * FROM elect.get_lease($1)', [`released, ${weak}`])
      expect(await release(client, `released, ${weak}`, token)).toBe(true)
      expect(await setting()).toBe(weak)
    })
  })
})

describe.each(['on', 'remote_apply'])('with synchronous_commit %s', (strong) => {
  test.each(writes.filter(([what]) => what !== 'a takeover'))('%s leaves it', async (what, write) => {
    const name = `${what}, ${strong}`
    const token = await grantTo(client, name, 'ada')
    await client.query(`SET synchronous_commit = ${strong}`)
    await inTransaction(client, async () => {
      await write(name, token)
      expect(await setting()).toBe(strong)
    })
  })
})
