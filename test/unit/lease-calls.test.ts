import { describe, expect, test } from 'vitest'
import { LeaseCalls } from '../../src/lease-calls.ts'
import { ModelLeases } from './support/model-leases.ts'
import { serverError } from './support/pg-errors.ts'
import { grantedRow } from './support/rows.ts'
import { ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

function setUp() {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const database = new ScriptedDatabase(clock, model.answers())
  const locked = new Set<string>()
  const calls = new LeaseCalls({ executor: database, clock, isLockedHere: (name) => locked.has(name) })
  const acquire = (name: string, holder = 'me', ttlMs = 9000, metadata: object | undefined = undefined) =>
    calls.acquire({ name, holder, ttlMs, metadata: metadata as never }, 500).then(({ answer }) => answer)
  const release = (name: string, token: number) => calls.release({ name, token }, 500)
  const sent = () => database.calls.map(({ name }) => name)
  return { clock, model, database, locked, acquire, release, sent }
}

describe('grants of one moment', () => {
  test('are one statement, decided name by name', async () => {
    const { model, database, acquire, sent } = setUp()
    model.acquire('b', 'other', 9000)
    const answers = await Promise.all([acquire('a'), acquire('b'), acquire('a', 'second', 7000, { at: 1 })])
    expect(answers.map(({ granted, lease, holder }) => [granted, lease, holder])).toEqual([
      [true, 'a', 'me'],
      [false, 'b', 'other'],
      [false, 'a', 'me'],
    ])
    expect(sent()).toEqual(['acquire_leases'])
    expect(database.calls[0]).toMatchObject({
      timeoutMs: 500,
      arguments: {
        names: ['a', 'b', 'a'],
        holders: ['me', 'me', 'second'],
        ttls: ['9000 milliseconds', '9000 milliseconds', '7000 milliseconds'],
        metadata_list: [null, null, '{"at":1}'],
      },
    })
  })

  test('pass no metadata where nobody has any', async () => {
    const { database, acquire } = setUp()
    await Promise.all([acquire('a'), acquire('b')])
    expect(database.calls[0]?.arguments.metadata_list).toBeNull()
  })

  test('are as if asked alone where one of them is not to be had at all', async () => {
    const { database, acquire, sent } = setUp()
    database.next('acquire_leases', serverError('22023', 'b is the name of a shared lease'))
    database.next('acquire_lease', [grantedRow(1)], serverError('22023', 'no'), [grantedRow(2)])
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => acquire(name)))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(sent()).toEqual(['acquire_leases', 'acquire_lease', 'acquire_lease', 'acquire_lease'])
  })

  test('leave out a name whose advisory lock this process has got meanwhile', async () => {
    const { locked, acquire, database } = setUp()
    const asking = [acquire('a'), acquire('b'), acquire('c')]
    locked.add('b')
    expect((await Promise.all(asking)).map(({ granted }) => granted)).toEqual([true, false, true])
    expect(database.calls[0]?.arguments.names).toEqual(['a', 'c'])
  })
})

describe('releases of one moment', () => {
  test('are one statement; what that leaves open is released alone', async () => {
    const { database, acquire, release, sent } = setUp()
    const granted = await Promise.all(['a', 'b', 'c'].map((name) => acquire(name)))
    database.next('release_leases', [{ released: true }, { released: null }, { released: false }])
    const released = await Promise.all(granted.map(({ lease, token }) => release(`${lease}`, Number(token))))
    expect(released).toEqual([true, true, false])
    expect(sent()).toEqual(['acquire_leases', 'release_leases', 'release_lease'])
  })

  test('go before grants, so that what was given back a moment ago is vacant', async () => {
    const { acquire, release, clock, database } = setUp()
    const { token } = await acquire('a')
    // Two releases that are not answered yet: more have to gather.
    const held = [database.hold('release_lease'), database.hold('release_lease')]
    for (const [place, waiting] of held.entries()) {
      void release(`other ${place}`, 1)
      await waiting
    }
    const releasing = release('a', Number(token))
    const again = await acquire('a', 'next')
    expect(again).toMatchObject({ granted: true, holder: 'next' })
    expect(await releasing).toBe(true)
    await clock.settle()
  })
})
