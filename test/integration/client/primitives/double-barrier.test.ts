import { describe, expect, test } from 'vitest'
import { AcquireTimeoutError, ClosedError, LeaseLostError } from '../../../../src/index.ts'
import { openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, until, useScene, whenCount } from './support.ts'

const scene = useScene()

describe('a double barrier', () => {
  test('lets all in together, and out together, time after time', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database, { ttlMs: 300_000 }).client)
    const events: string[] = []
    const parties = clients.map((client) => client.doubleBarrier('together', { parties: 3 }))
    for (const round of [1, 2, 3]) {
      events.length = 0
      await Promise.all(
        parties.map(async (party, index) => {
          // One comes late, another leaves late.
          if (index === 0) await whenCount(scene.session, 'together', { shares: 2 })
          events.push('comes')
          const share = await party.enter()
          expect(share.isHeld).toBe(true)
          events.push('in')
          if (index === 1) await whenCount(scene.session, 'together', { shares: 1 })
          events.push('leaves')
          await party.leave()
          events.push('out')
        }),
      )
      expect(events.lastIndexOf('comes'), `round ${round}`).toBeLessThan(events.indexOf('in'))
      expect(events.lastIndexOf('leaves'), `round ${round}`).toBeLessThan(events.indexOf('out'))
      expect(events.filter((event) => event === 'out')).toHaveLength(3)
    }
    expect(await countOf(scene.session, 'together')).toEqual({ waiting: 0, shares: 0 })
  })

  test('a party alone goes through at once', async () => {
    const party = openClient(scene.database).client.doubleBarrier('alone', { parties: 1 })
    await party.enter()
    await party.leave()
  })

  test('who stops waiting counts no more, and may come again', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const [party, second] = [
      one.doubleBarrier('cancel', { parties: 2 }),
      other.doubleBarrier('cancel', { parties: 2 }),
    ]
    const stop = new AbortController()
    const entering = party.enter({ signal: stop.signal })
    await whenCount(scene.session, 'cancel', { shares: 1 })
    stop.abort(new Error('enough'))
    await expect(entering).rejects.toThrow('enough')
    expect(await countOf(scene.session, 'cancel')).toEqual({ waiting: 0, shares: 0 })
    await expect(second.enter({ timeoutMs: 100 })).rejects.toThrow(AcquireTimeoutError)
    expect(await countOf(scene.session, 'cancel')).toEqual({ waiting: 0, shares: 0 })
    await Promise.all([party.enter(), second.enter()])
    await expect(party.leave({ timeoutMs: 100 })).rejects.toThrow(AcquireTimeoutError)
    // It has left all the same, and waits on for the other.
    expect(await countOf(scene.session, 'cancel')).toEqual({ waiting: 0, shares: 1 })
    await Promise.all([party.leave(), second.leave()])
  })

  test('one party is one: it does not come twice, and leaves only where it is in', async () => {
    const { client } = openClient(scene.database)
    const party = client.doubleBarrier('misuse', { parties: 2 })
    await expect(party.leave()).rejects.toThrow(/expected one that has entered, got one that is out$/)
    const stop = new AbortController()
    const entering = party.enter({ signal: stop.signal })
    await expect(party.enter()).rejects.toThrow(/expected one that is out, got one that is about to enter$/)
    await expect(party.leave()).rejects.toThrow(/got one that is about to enter$/)
    stop.abort()
    await expect(entering).rejects.toThrow()
    await expect(party.leave()).rejects.toThrow(/got one that is out$/)
  })

  test('a party that is gone is waited for until its share runs out, and counts until then', async () => {
    const { client } = openClient(scene.database, { ttlMs: 300_000 })
    const party = client.doubleBarrier('gone', { parties: 2 })
    const entering = party.enter()
    await whenCount(scene.session, 'gone', { shares: 1 })
    await scene.session.query(`SELECT elect.enter_barrier('gone', 'dead', 2, '500 milliseconds')`)
    const share = await entering
    await party.leave()
    expect(share.isHeld).toBe(false)
    const { rows } = await scene.session.query(`SELECT FROM elect.get_shares('gone')`)
    expect(rows).toEqual([])
  })

  test('who gathers for the next time does not hold up those who leave', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database).client)
    const [one, two, next] = clients.map((client) => client.doubleBarrier('next', { parties: 2 }))
    await Promise.all([one?.enter(), two?.enter()])
    const stop = new AbortController()
    const entering = next?.enter({ signal: stop.signal })
    await whenCount(scene.session, 'next', { shares: 3 })
    await Promise.all([one?.leave(), two?.leave()])
    const joined = one?.enter()
    await Promise.all([entering, joined])
    await Promise.all([next?.leave(), one?.leave()])
  })

  test('a lost connection loses no party', async () => {
    const [one, other] = [
      openClient(scene.database, { ttlMs: 10_000, retryIntervalMs: 20 }),
      openClient(scene.database, { ttlMs: 10_000, retryIntervalMs: 20 }),
    ]
    const [party, second] = [one, other].map(({ client }) =>
      client.doubleBarrier('connection', { parties: 2 }),
    )
    const entering = party?.enter()
    await whenCount(scene.session, 'connection', { shares: 1 })
    await endSessions(scene.session)
    await one.log.logged('lost a connection to the database')
    await Promise.all([entering, second?.enter()])
    await endSessions(scene.session)
    await other.log.logged('lost a connection to the database')
    await Promise.all([party?.leave(), second?.leave()])
  })

  test('a party whose share is taken away while it waits is told so', async () => {
    const { client } = openClient(scene.database, { renewIntervalMs: 50 })
    const entering = client.doubleBarrier('taken', { parties: 2 }).enter()
    await whenCount(scene.session, 'taken', { shares: 1 })
    await scene.session.query(`SELECT elect.force_release(lease, 'a test') FROM elect.get_shares('taken')`)
    await expect(entering).rejects.toThrow(LeaseLostError)
  })

  test('closing the client ends the wait, and releases', async () => {
    const { client } = openClient(scene.database)
    const entering = client.doubleBarrier('closed', { parties: 2 }).enter()
    await whenCount(scene.session, 'closed', { shares: 1 })
    await Promise.all([expect(entering).rejects.toThrow(ClosedError), client.close()])
    expect(await countOf(scene.session, 'closed')).toEqual({ waiting: 0, shares: 0 })
  })

  test('what the database grants while the client closes is given back', async () => {
    const { client } = openClient(scene.database, { ttlMs: 60_000 })
    const other = await scene.database.connect()
    // The barrier is known already, and this client has nothing else to give back.
    await scene.session.query(`SELECT elect.acquire_share('in flight', 'ada')`)
    await scene.session.query(`SELECT elect.release_lease(lease, token) FROM elect.get_shares('in flight')`)
    await other.query('BEGIN')
    await other.query(`SELECT FROM elect.shared_leases WHERE name = 'in flight' FOR UPDATE`)
    const entering = client.doubleBarrier('in flight', { parties: 2 }).enter()
    await until(async () => {
      const { rows } = await scene.session.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
         AND query LIKE '%enter_barrier%'`,
      )
      return rows.length > 0
    })
    const closing = client.close()
    await other.query('COMMIT')
    await Promise.all([expect(entering).rejects.toThrow(ClosedError), closing])
    expect(await countOf(scene.session, 'in flight')).toEqual({ waiting: 0, shares: 0 })
  })

  test('closing the client at once leaves nothing behind either', async () => {
    const { client } = openClient(scene.database)
    const entering = client.doubleBarrier('closed at once', { parties: 2 }).enter()
    await Promise.all([expect(entering).rejects.toThrow(ClosedError), client.close()])
    expect(await countOf(scene.session, 'closed at once')).toEqual({ waiting: 0, shares: 0 })
  })

  test.each<BadCall>([
    ['no parties', (c) => c.doubleBarrier('x', {} as never), /^Invalid parties: .*, got undefined$/],
    ['too few parties', (c) => c.doubleBarrier('x', { parties: 0 }), /from 1 to 2147483647, got 0$/],
    ['an unknown option', (c) => c.doubleBarrier('x', { parties: 1, n: 5 } as never), /^Unknown option "n"/],
    ['a name too long', (c) => c.doubleBarrier('x'.repeat(181), { parties: 1 }), /1 to 180 bytes/],
    [
      'a bad timeout',
      (c) => c.doubleBarrier('x', { parties: 1 }).enter({ timeoutMs: -1 }),
      /^Invalid timeoutMs/,
    ],
    [
      'a signal that is none',
      (c) => c.doubleBarrier('x', { parties: 1 }).leave({ signal: 5 as never }),
      /^Invalid signal/,
    ],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
