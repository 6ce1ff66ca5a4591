import { describe, expect, test } from 'vitest'
import { ClosedError, type GroupChange, LeaseLostError } from '../../../../src/index.ts'
import { aborted, openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, useScene } from './support.ts'

const scene = useScene()

/** Metadata of those in a change, to compare with. */
const who = ({ members, joined, left }: GroupChange) => {
  const ids = (list: GroupChange['members']) => list.map(({ metadata }) => metadata?.id)
  return { members: ids(members), joined: ids(joined), left: ids(left) }
}

async function nextOf(changes: AsyncGenerator<GroupChange, void>): Promise<ReturnType<typeof who>> {
  const { value } = await changes.next()
  if (value === undefined) throw new Error('it has ended')
  return who(value)
}

describe('a group', () => {
  test('has its live members, the oldest first, with what they show', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    expect(await one.group('members').members()).toEqual([])
    const first = await one.group('members', { metadata: { id: 'default' } }).join()
    const second = await other.group('members').join({ id: 'b' })
    const bare = await other.group('members').join()
    expect(await one.group('members').members()).toMatchObject([
      { holder: first.holder, token: first.token, metadata: { id: 'default' }, joinedAt: expect.any(Date) },
      { holder: second.holder, token: second.token, metadata: { id: 'b' } },
      { holder: bare.holder, metadata: null },
    ])
    expect(await first.leave()).toBe(true)
    expect([first.isMember, first.signal.aborted, second.isMember]).toEqual([false, true, true])
    expect(await one.group('members').members()).toHaveLength(2)
  })

  test('await using leaves it, and so does closing the client', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    {
      await using membership = await one.group('scoped').join()
      expect(await other.group('scoped').members()).toMatchObject([{ token: membership.token }])
    }
    expect(await other.group('scoped').members()).toEqual([])
    const membership = await one.group('scoped').join()
    await one.close()
    expect(await aborted(membership.signal)).toBeInstanceOf(ClosedError)
    expect(await countOf(scene.session, 'scoped')).toEqual({ waiting: 0, shares: 0 })
  })

  test('watch yields who is there, then who joins and leaves', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const a = await one.group('watched').join({ id: 'a' })
    const changes = other.group('watched').watch()
    expect(await nextOf(changes)).toEqual({ members: ['a'], joined: ['a'], left: [] })
    const b = await one.group('watched').join({ id: 'b' })
    expect(await nextOf(changes)).toEqual({ members: ['a', 'b'], joined: ['b'], left: [] })
    await a.leave()
    expect(await nextOf(changes)).toEqual({ members: ['b'], joined: [], left: ['a'] })
    // A reader that is slow gets several changes as one, and renewals are none.
    await b.lease.renew()
    await one.group('watched').join({ id: 'c' })
    await b.leave()
    let seen = await nextOf(changes)
    while (seen.members.includes('b')) seen = await nextOf(changes)
    expect(seen.members).toEqual(['c'])
    await changes.return()
  })

  test('watch notices a member that is gone without a word', async () => {
    // Longer than the test: it is the other's expiry that it looks at.
    const { client } = openClient(scene.database, { ttlMs: 300_000 })
    await client.group('gone').join({ id: 'alive' })
    const changes = client.group('gone').watch()
    expect((await nextOf(changes)).members).toEqual(['alive'])
    await scene.session.query(
      `SELECT elect.acquire_share('gone', 'dead', ttl => '500 milliseconds', metadata => '{"id": "dead"}')`,
    )
    expect(await nextOf(changes)).toEqual({ members: ['alive', 'dead'], joined: ['dead'], left: [] })
    expect(await nextOf(changes)).toEqual({ members: ['alive'], joined: [], left: ['dead'] })
    await changes.return()
  })

  test('watch of an empty group yields that first; it ends with its signal and with the client', async () => {
    const { client } = openClient(scene.database)
    const stop = new AbortController()
    const [stopped, closed] = [
      client.group('empty').watch({ signal: stop.signal }),
      client.group('empty').watch(),
    ]
    for (const changes of [stopped, closed]) {
      expect(await nextOf(changes)).toEqual({ members: [], joined: [], left: [] })
    }
    const ends = [stopped.next(), closed.next()]
    stop.abort()
    expect(await ends[0]).toEqual({ done: true, value: undefined })
    await client.close()
    expect(await ends[1]).toEqual({ done: true, value: undefined })
  })

  test('a lost connection is no membership lost, and a watcher reads again what it may have missed', async () => {
    const { client, log } = openClient(scene.database, { ttlMs: 10_000, retryIntervalMs: 20 })
    const membership = await client.group('connection').join({ id: 'a' })
    const changes = client.group('connection').watch()
    expect((await nextOf(changes)).members).toEqual(['a'])
    const change = nextOf(changes)
    await endSessions(scene.session)
    await log.logged('lost a connection to the database')
    await scene.session.query(
      `SELECT elect.acquire_share('connection', 'other', ttl => '1 hour', metadata => '{"id": "missed"}')`,
    )
    expect(await change).toEqual({ members: ['a', 'missed'], joined: ['missed'], left: [] })
    expect(membership.isMember).toBe(true)
    await changes.return()
  })

  test('a member that an operator takes out is told so', async () => {
    const { client } = openClient(scene.database, { renewIntervalMs: 50 })
    const membership = await client.group('taken').join()
    await scene.session.query('SELECT elect.force_release($1, $2)', [membership.lease.name, 'a test'])
    expect(await aborted(membership.signal)).toBeInstanceOf(LeaseLostError)
    expect(membership.isMember).toBe(false)
    expect(await client.group('taken').members()).toEqual([])
  })

  test('joining is not begun where the signal has aborted', async () => {
    const { client } = openClient(scene.database)
    const signal = AbortSignal.abort(new Error('before'))
    await expect(client.group('before').join({}, { signal })).rejects.toThrow('before')
    expect(await countOf(scene.session, 'before')).toEqual({ waiting: 0, shares: 0 })
  })

  test.each<BadCall>([
    ['a name too long', (c) => c.group('ä'.repeat(91)), /1 to 180 bytes, got 182 bytes$/],
    ['an unknown option', (c) => c.group('x', { size: 5 } as never), /^Unknown option "size"/],
    [
      'metadata that is no object',
      (c) => c.group('x').join([1] as never),
      /^Invalid metadata: .* got an array$/,
    ],
    ['an unknown option of joining', (c) => c.group('x').join({}, { ttlMs: 5 } as never), /^Unknown option/],
    ['a bad timeout', (c) => c.group('x').join({}, { timeoutMs: -1 }), /^Invalid timeoutMs/],
    [
      'an unknown option of a watch',
      (c) =>
        c
          .group('x')
          .watch({ every: 5 } as never)
          .next(),
      /^Unknown option/,
    ],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
