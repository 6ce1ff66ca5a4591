import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid } from '../support/postgres/session.ts'
import { acquire, grantTo, inTransaction, release, scalar, transfer, useDatabase } from './leases.ts'
import { endTerm, leave, refresh, stand, standAll, voidPlace } from './line.ts'
import { type Announcement, Listener } from './listener.ts'

const database = useDatabase()
/** The session of the holder and of operators. */
let client: pg.Client
let bobs: pg.Client
let carols: pg.Client
let ears: pg.Client
/** Listens to the channel of all leases and to those of all sessions; a test adds that of its lease. */
let listener: Listener
let bobsChannel: string
let carolsChannel: string

beforeAll(async () => {
  client = await database.connect()
  bobs = await database.connect()
  carols = await database.connect()
  ears = await database.connect()
  bobsChannel = `elect_session_${await backendPid(bobs)}`
  carolsChannel = `elect_session_${await backendPid(carols)}`
  const own = `elect_session_${await backendPid(client)}`
  for (const channel of ['elect', bobsChannel, carolsChannel, own]) await ears.query(`LISTEN ${channel}`)
  listener = new Listener(ears)
})

beforeEach(async () => {
  await listener.heard()
})

/** A lease of ada's with bob in line before carol, each in a session of its own, and ears on its channel. */
async function leaseWithLine(name: string): Promise<{ token: number; channel: string }> {
  const token = await grantTo(client, name, 'ada')
  await standAll(bobs, name, 'bob')
  await standAll(carols, name, 'carol')
  await ears.query('SELECT * FROM elect.listen(ARRAY[$1])', [name])
  const channel = await scalar<string>(client, 'SELECT elect.lease_channel($1)', [name])
  await listener.heard()
  return { token, channel }
}

/** Expects that this, and nothing else, was told, and on these channels only. */
async function expectTold(announcement: Announcement, ...channels: string[]): Promise<void> {
  const heard = await listener.heard()
  expect(heard).toEqual(new Map(['elect', ...channels].map((channel) => [channel, [announcement]])))
}

test('listen_here names the channel of its session, and listens to it', async () => {
  const session = await database.connect()
  const channel = await scalar<string>(session, 'SELECT elect.listen_here()')
  expect(channel).toBe(`elect_session_${await backendPid(session)}`)
  const hears = new Listener(session)
  const token = await grantTo(client, 'here', 'ada')
  await standAll(session, 'here', 'bob')
  await release(client, 'here', token)
  expect((await hears.heard()).get(channel)).toMatchObject([{ event: 'granted', holder: 'bob' }])
})

describe('only the session of the one that is concerned is told on its own channel:', () => {
  const newToken = (name: string) =>
    scalar<number>(client, 'SELECT token::float8 FROM elect.get_lease($1)', [name])

  test('the first in line that a release grants the lease to', async () => {
    const name = 'released'
    const { token, channel } = await leaseWithLine(name)
    await release(client, name, token)
    const told = { event: 'granted', name, holder: 'bob', previous_holder: 'ada' }
    await expectTold({ ...told, token: await newToken(name) }, channel, bobsChannel)
  })

  test.each([null, 'carol'])('the one that a transfer to %s hands it to', async (successor) => {
    const name = `transferred to ${successor}`
    const { token, channel } = await leaseWithLine(name)
    await client.query('SELECT elect.transfer_lease($1, $2, $3)', [name, token, successor])
    const told = { event: 'transferred', name, holder: successor ?? 'bob', previous_holder: 'ada' }
    const session = successor === null ? bobsChannel : carolsChannel
    await expectTold({ ...told, token: await newToken(name) }, channel, session)
  })

  test('the first in line when the lease was vacated by force', async () => {
    const name = 'forced'
    const { token, channel } = await leaseWithLine(name)
    await client.query("SELECT elect.force_release($1, 'a test')", [name])
    await expectTold(
      { event: 'forced', name, holder: null, token, previous_holder: 'ada' },
      channel,
      bobsChannel,
    )
  })

  test('not the dead', async () => {
    const name = 'dead'
    const { token, channel } = await leaseWithLine(name)
    await voidPlace(client, name, 'bob')
    await client.query("SELECT elect.force_release($1, 'a test')", [name])
    await expectTold(
      { event: 'forced', name, holder: null, token, previous_holder: 'ada' },
      channel,
      carolsChannel,
    )
  })

  test('nobody who does not wait', async () => {
    const name = 'elsewhere'
    const { token, channel } = await leaseWithLine(name)
    const grant = await transfer(client, name, token, 'eve')
    const told = { event: 'transferred', name, holder: 'eve', previous_holder: 'ada' }
    await expectTold({ ...told, token: Number(grant.token) }, channel)
  })

  test('nobody when one takes the lease by itself', async () => {
    const name = 'taken'
    const { channel } = await leaseWithLine(name)
    await endTerm(client, name)
    const grant = await acquire(bobs, name, 'bob')
    const told = { event: 'expired', name, holder: 'bob', previous_holder: 'ada' }
    await expectTold({ ...told, token: Number(grant.token) }, channel)
  })
})

test.each([
  ['refresh_candidates', (name: string) => refresh(carols, [name, 'bob'])],
  ['asking again', (name: string) => stand(carols, name, 'bob')],
])('%s moves a place to the session that it is called in', async (how, move) => {
  const name = `moved by ${how}`
  const token = await grantTo(client, name, 'ada')
  await standAll(bobs, name, 'bob')
  await move(name)
  await listener.heard()
  await release(client, name, token)
  const heard = await listener.heard()
  expect(heard.get(carolsChannel)).toMatchObject([{ event: 'granted', holder: 'bob' }])
  expect(heard.has(bobsChannel)).toBe(false)
})

describe('a place can name the session that is to be told, as where the one that asks is lent to others by a pooler:', () => {
  test.each([
    ['acquire_lease', `elect.acquire_lease($1, 'bob', '1 hour', wait => true, backend => $2)`],
    ['refresh_candidates', `elect.refresh_candidates(ARRAY[$1], '{bob}', backend => $2)`],
  ])('by %s', async (how, call) => {
    const name = `named by ${how}`
    const token = await grantTo(client, name, 'ada')
    if (how === 'refresh_candidates') await standAll(bobs, name, 'bob')
    await bobs.query(`SELECT ${call}`, [name, await backendPid(carols)])
    await listener.heard()
    await release(client, name, token)
    const heard = await listener.heard()
    expect(heard.get(carolsChannel)).toMatchObject([{ event: 'granted', holder: 'bob' }])
    expect(heard.has(bobsChannel)).toBe(false)
  })

  test('by acquire_share', async () => {
    const name = 'named by acquire_share'
    await client.query(`SELECT elect.acquire_share($1, 'ada', exclusive => true)`, [name])
    const share = await scalar<string>(client, 'SELECT lease FROM elect.get_shares($1)', [name])
    const token = await scalar<string>(client, 'SELECT token FROM elect.get_shares($1)', [name])
    await bobs.query(`SELECT elect.acquire_share($1, 'bob', wait => true, backend => $2)`, [
      name,
      await backendPid(carols),
    ])
    await listener.heard()
    await client.query('SELECT elect.release_lease($1, $2)', [share, token])
    const heard = await listener.heard()
    expect(heard.get(carolsChannel)).toMatchObject([{ event: 'granted', holder: 'bob' }])
    expect(heard.has(bobsChannel)).toBe(false)
  })
})

test('nothing is told by standing in line, refreshing, looking, leaving, or a hand-off that is rolled back', async () => {
  const { token } = await leaseWithLine('quiet')
  await stand(bobs, 'quiet', 'bob', { priority: 3 })
  await refresh(bobs, ['quiet', 'bob'])
  await client.query("SELECT elect.get_candidacy('quiet', 'bob'), elect.get_candidates('quiet')")
  await leave(carols, 'quiet', 'carol')
  await inTransaction(client, () => release(client, 'quiet', token))
  expect(await listener.heard()).toEqual(new Map())
})
