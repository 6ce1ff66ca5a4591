import { describe, expect, test } from 'vitest'
import { AccessDeniedError, ClosedError, ConnectionError } from '../../src/errors.ts'
import { HostRound } from '../../src/host-round.ts'
import type { Host, Hosts, TargetSession } from '../../src/hosts.ts'
import type { ServerState } from '../../src/connection-queries.ts'

type Kind = 'primary' | 'standby' | 'read-only primary' | Error

/** A round among servers of these kinds, called `0`, `1` and so on, which notes what it does. */
function setUp(target: TargetSession, ...kinds: Kind[]) {
  const hosts = kinds.map((_, place): Host => ({ label: `${place}`, config: { host: `${place}` } }))
  const round = new HostRound({ hosts: hosts as unknown as Hosts['hosts'], target })
  const asked: string[] = []
  const discarded: string[] = []
  const open = () => {
    asked.length = 0
    discarded.length = 0
    return round.open(
      async ({ host = '' }) => {
        asked.push(host)
        const kind = kinds[Number(host)] as Kind
        if (kind instanceof Error) throw kind
        return { session: host, server: stateOf(kind) }
      },
      (session) => discarded.push(session),
    )
  }
  return { round, kinds, asked, discarded, open }
}

function stateOf(kind: string): ServerState {
  return { backend: 1, ageMs: 0, isInRecovery: kind === 'standby', isReadOnly: kind !== 'primary' }
}

const down = new ConnectionError('nobody there')

describe('a round among hosts', () => {
  test.each<[TargetSession, Kind[], string]>([
    ['read-write', ['standby', 'read-only primary', 'primary'], '2'],
    ['read-write', [down, 'primary'], '1'],
    ['primary', ['standby', 'read-only primary', 'primary'], '1'],
    ['any', ['standby', 'primary'], '0'],
    ['standby', ['primary', 'read-only primary', 'standby'], '2'],
    ['read-only', ['primary', 'read-only primary'], '1'],
    ['prefer-standby', ['primary', 'standby'], '1'],
    ['prefer-standby', [down, 'primary'], '1'],
  ])('finds the first server that is %s among %s', async (target, kinds, expected) => {
    expect(await setUp(target, ...kinds).open()).toBe(expected)
  })

  test('ends the sessions on those that will not do, and no other', async () => {
    const { open, discarded } = setUp('read-write', 'standby', 'read-only primary', down, 'primary')
    await open()
    expect(discarded).toEqual(['0', '1'])
  })

  test('begins with the one that did last', async () => {
    const { open, asked } = setUp('read-write', 'standby', 'primary')
    await open()
    await open()
    expect(asked).toEqual(['1'])
  })

  test('begins behind the one that was of no use any more, and comes back to it when it is again', async () => {
    const { round, open, asked, kinds } = setUp('read-write', 'primary', 'standby', down)
    await open()
    round.turnAway()
    kinds.splice(0, 2, 'standby', 'primary')
    expect(await open()).toBe('1')
    expect(asked).toEqual(['1'])
    round.turnAway()
    kinds.splice(0, 2, 'primary', 'standby')
    expect(await open()).toBe('0')
    expect(asked).toEqual(['2', '0'])
  })

  test('in which none will do now can be tried again, and says why of each', async () => {
    const { open, asked } = setUp('read-write', 'standby', 'read-only primary', down)
    const error = await open().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(String(error)).toMatch(/0: The server is a standby.*1: The server is read-only.*2: nobody there/)
    expect(asked).toEqual(['0', '1', '2'])
  })

  test('one that does not let us in keeps nobody from the others', async () => {
    expect(await setUp('read-write', new AccessDeniedError('no'), 'primary').open()).toBe('1')
    await expect(setUp('read-write', new AccessDeniedError('no'), down).open()).rejects.toThrow(
      ConnectionError,
    )
    await expect(setUp('read-write', new AccessDeniedError('no')).open()).rejects.toThrow(AccessDeniedError)
  })

  test('ends at once when the client closes', async () => {
    const { open, asked } = setUp('read-write', new ClosedError(), 'primary')
    await expect(open()).rejects.toThrow(ClosedError)
    expect(asked).toEqual(['0'])
  })
})
