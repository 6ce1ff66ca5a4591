/**
 * A synchronous standby that is not there: each statement that grants something waits for it, and is told by no more than a warning when
 * somebody cancels the wait. It must not be taken for granted, whatever else is under way on the connection, and though the role has
 * turned warnings off.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { ControlConnection } from '../../../src/connection.ts'
import { acquireQueued, beat, getCandidacy, takeOver, transferLease } from '../../../src/line-queries.ts'
import {
  acquireLease,
  acquireLeases,
  compareAndSwap,
  compareAndSwapVersion,
  getLease,
} from '../../../src/queries.ts'
import { acquireShare, enterBarrier } from '../../../src/share-queries.ts'
import { silent } from '../primitives/uses.ts'
import { type FaultServer, startFaultServer } from '../support/server.ts'

type Ask = (connection: ControlConnection, name: string, token: number) => Promise<unknown>

const asked = (name: string) => ({ name, holder: 'me', ttlMs: 600_000, metadata: undefined })
const longest = { longestMs: 500 }
const share = { isExclusive: false, capacity: 2 }

/** All that tells its caller that it holds something. */
const grants: Readonly<Record<string, Ask>> = {
  acquire_lease: (it, name) => acquireLease(it, { ...asked(`${name}, new`), priority: undefined }),
  'acquire_lease again': (it, name) => acquireLease(it, { ...asked(name), priority: undefined }),
  acquire_leases: (it, name) => acquireLeases(it, [asked(`${name}, new`), asked(`${name}, newer`)]),
  renew_leases: (it, name, token) => beat(it, [{ name, token }], []),
  transfer_lease: (it, name, token) => transferLease(it, { name, token, successor: undefined }),
  acquire_queued: (it, name) => acquireQueued(it, { ...asked(`${name}, new`), ...longest }),
  take_over: (it, name) => takeOver(it, { ...asked(`${name}, bound`), priority: 0, ...longest }),
  acquire_share: (it, name) =>
    acquireShare(it, { ...asked(`${name}, share`), ...share, priority: undefined }),
  enter_barrier: (it, name) => enterBarrier(it, { ...asked(`${name}, barrier`), parties: 1 }),
  compare_and_swap: (it, name) =>
    compareAndSwap(it, { key: `${name}, key`, next: 'v', current: null, ttlMs: undefined }),
  compare_and_swap_version: (it, name) =>
    compareAndSwapVersion(it, { key: `${name}, key 2`, next: 'v', version: 0, ttlMs: undefined }),
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(2)
}

/** Cancels a wait for the standby once there is one, or nothing is waited for any more. */
async function cancelWait(observer: pg.Client, isOver: () => boolean): Promise<void> {
  const text = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
  await until(async () => (await observer.query(text)).rows.length > 0 || isOver())
}

/** From now on commits wait: the server takes a moment to tell its sessions. */
async function loseStandby(server: FaultServer, observer: pg.Client): Promise<void> {
  await server.configure({ synchronous_standby_names: 'nobody' })
  const probe = await server.connect()
  for (let number = 0, waited = false; !waited; number++) {
    let isDone = false
    const probing = probe
      .query('SELECT elect.acquire_lease($1, $2)', [`probe ${number}`, 'probe'])
      .then(() => {
        isDone = true
      })
    const text = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    await until(async () => {
      waited = (await observer.query(text)).rows.length > 0
      return waited || isDone
    })
    await probing
  }
  await probe.end()
}

test('nothing that was granted without the standby is reported as held, in a pipeline and without warnings', {
  timeout: 120_000,
}, async () => {
  const server = await startFaultServer({ fsync: 'off' })
  const observer = await server.connect()
  onTestFinished(() => observer.end().catch(() => undefined))
  await observer.query('ALTER DATABASE postgres SET client_min_messages = error')
  const tokens = new Map<string, number>()
  for (const name of Object.keys(grants)) {
    const { rows } = await observer.query("SELECT token FROM elect.acquire_lease($1, 'me', '1 hour')", [name])
    tokens.set(name, Number(rows[0].token))
  }
  await observer.query("SELECT elect.acquire_lease('transfer_lease', 'next', '1 hour', wait => true)")
  // A leader whose connection has ended, and one who waits for that.
  await server.ask(async (leader) => {
    const name = 'take_over, bound'
    const { rows } = await leader.query("SELECT token FROM elect.acquire_lease($1, 'leader', '1 hour')", [
      name,
    ])
    const { rows: bound } = await leader.query('SELECT elect.bind_lease($1, $2) AS bound', [
      name,
      rows[0].token,
    ])
    expect(bound).toEqual([{ bound: true }])
    await leader.query("SELECT elect.acquire_lease($1, 'me', '1 hour', wait => true)", [name])
  })
  // One that will be handed over while the standby is gone.
  const { rows: held } = await observer.query(
    "SELECT token FROM elect.acquire_lease('handed', 'leader', '1 hour')",
  )
  await observer.query("SELECT elect.acquire_lease('handed', 'me', '1 hour', wait => true)")
  await loseStandby(server, observer)

  const { connectionString } = server
  const parts = { clock: systemClock, random: Math.random, logger: silent }
  const timing = { timeoutMs: 60_000, retryIntervalMs: 10, ttlMs: 15_000 }
  const connection = new ControlConnection({ connectionString }, { ...parts, ...timing })
  onTestFinished(() => connection.close())
  const outcomes: Record<string, unknown> = {}
  for (const [name, ask] of Object.entries(grants)) {
    const token = tokens.get(name) as number
    // All at once: one before it, and two behind it.
    const before = getLease(connection, name)
    let isOver = false
    const grant = ask(connection, name, token)
      .then(
        (answer) => ['answered', answer],
        (error: { code?: string }) => error.code,
      )
      .finally(() => {
        isOver = true
      })
    const behind = [1, 2].map(() =>
      getLease(connection, name).then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      ),
    )
    expect((await before)?.holder).toBe('me')
    await cancelWait(observer, () => isOver)
    outcomes[name] = await grant
    // Nothing that came on that connection after it is believed either, and it is not used again.
    for (const outcome of await Promise.all(behind)) expect(outcome).toBe('PG_ELECT_CONNECTION')
    expect((await getLease(connection, name))?.token).toBeGreaterThanOrEqual(token)
  }
  expect(outcomes).toEqual(
    Object.fromEntries(Object.keys(grants).map((name) => [name, 'PG_ELECT_CONNECTION'])),
  )

  // Handed over by a session whose wait was cancelled: a look proves nothing, and asking waits.
  const leader = await server.connect()
  let isHandedOver = false
  const handing = leader.query("SELECT elect.release_lease('handed', $1)", [held[0].token]).finally(() => {
    isHandedOver = true
  })
  await cancelWait(observer, () => isHandedOver)
  await handing
  await leader.end()
  const candidate = { name: 'handed', holder: 'me' }
  expect(await getCandidacy(connection, candidate)).toMatchObject({ granted: false, holder: 'me' })
  let isAnswered = false
  const asking = acquireLease(connection, { ...asked('handed'), priority: undefined })
    .then(
      () => 'granted',
      (error: { code?: string }) => error.code,
    )
    .finally(() => {
      isAnswered = true
    })
  await cancelWait(observer, () => isAnswered)
  expect(await asking).toBe('PG_ELECT_CONNECTION')
  // Where nobody has to wait for a standby, a look is enough.
  await server.configure({ synchronous_standby_names: '' })
  let granted: boolean | null = false
  while (granted !== true) ({ granted } = await getCandidacy(connection, candidate))
})
