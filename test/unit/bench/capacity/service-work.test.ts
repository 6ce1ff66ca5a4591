import type pg from 'pg'
import { expect, it, vi } from 'vitest'
import type { FleetStatements, Renewed } from '../../../../bench/capacity/fleet-statements.ts'
import { DEFAULTS, type FleetOptions } from '../../../../bench/capacity/fleet-options.ts'
import { FleetTally } from '../../../../bench/capacity/fleet-tally.ts'
import { type Service, serviceWork } from '../../../../bench/capacity/service-work.ts'
import { resolveTiming } from '../../../../src/timing.ts'

const session = {} as pg.Client
const granted: Renewed = { granted: true, expiresInMs: 15_000 }

function setUp({
  renewed = granted,
  tokens = [9] as number[] | null,
  options = {} as Partial<FleetOptions>,
}) {
  vi.spyOn(performance, 'now').mockReturnValue(100_000)
  const statements = {
    renewLeases: async () => renewed,
    renewSession: async () => renewed,
    acquireLease: async () => ({ tokens: tokens ?? undefined, session: '', expiresInMs: 4000 }),
    acquireLeases: async () => ({ tokens: tokens ?? undefined, session: 'next', expiresInMs: 4000 }),
  } as unknown as FleetStatements
  const tally = new FleetTally()
  tally.isCounting = true
  const all = { ...DEFAULTS, ...options }
  const timing = resolveTiming({ ttlMs: all.ttlMs })
  const service: Service = {
    names: ['a'],
    tokens: [1],
    session: 'first',
    sentAtMs: 95_000,
    expiresAtMs: 110_000,
    isUp: true,
    isBeating: true,
    candidate: 'standby',
    isInLine: false,
    successors: 0,
  }
  const work = serviceWork({ options: all, timing, statements, tally, random: () => 0.5 })
  return { work, tally, service }
}

it('beats again within a third of the TTL, less some of it by chance', async () => {
  const { work, service, tally } = setUp({})
  expect(await work.beat(session, service, 99_000)).toEqual([{ kind: 'beat', atMs: 104_750 }])
  expect(service).toMatchObject({ sentAtMs: 99_000, expiresAtMs: 115_000, isBeating: false })
  expect(tally.counts).toMatchObject({ lapsed: 0, lost: 0, timedOut: 0 })
})

it('is taken over when its last renewal runs out, if it crashed while that was under way', async () => {
  const { work, service } = setUp({})
  service.isUp = false
  expect(await work.beat(session, service, 99_000)).toEqual([{ kind: 'takeover', atMs: 115_000 }])
})

it('counts leases that were renewed past the deadline of their process', async () => {
  const { work, service, tally } = setUp({})
  service.sentAtMs = 100_000 - 14_001
  await work.beat(session, service, 99_000)
  expect(tally.counts.lapsed).toBe(1)
})

it('counts leases that the server says are lost, and has them acquired anew', async () => {
  const { work, service, tally } = setUp({ renewed: { granted: false, expiresInMs: 0 } })
  expect(await work.beat(session, service, 99_000)).toEqual([{ kind: 'takeover', atMs: 100_000 }])
  expect(tally.counts.lost).toBe(1)
  expect(service.isUp).toBe(false)
})

it('asks again soon where another transaction was at one of them', async () => {
  const { work, service } = setUp({ renewed: { granted: null, expiresInMs: 0 } })
  expect(await work.beat(session, service, 99_000)).toEqual([{ kind: 'beat', atMs: 100_500 }])
})

it('is up again under new tokens once it has been taken over, and tells how long after the expiry', async () => {
  const { work, service, tally } = setUp({ options: { isBySession: true } })
  Object.assign(service, { isUp: false, expiresAtMs: 99_990 })
  expect(await work.takeover(session, service, 99_991)).toEqual([{ kind: 'beat', atMs: 104_750 }])
  expect(service).toMatchObject({ isUp: true, tokens: [9], session: 'next', expiresAtMs: 104_000 })
  expect(tally.takeoverMs).toEqual([10])
})

it('tries a takeover that was refused when the rest has run out', async () => {
  const { work, service, tally } = setUp({ tokens: null })
  expect(await work.takeover(session, service, 99_991)).toEqual([{ kind: 'takeover', atMs: 104_000 }])
  expect(tally.takeoverMs).toEqual([])
})

it('has the one that crashed stand in line a second later, where others wait', async () => {
  const { work, service } = setUp({ options: { following: 'listen' } })
  Object.assign(service, { isUp: false, isInLine: true })
  const next = await work.takeover(session, service, 99_991)
  expect(next).toContainEqual({ kind: 'stand', atMs: 101_000 })
  expect(service).toMatchObject({ isInLine: false, candidate: 'a:1' })
})
