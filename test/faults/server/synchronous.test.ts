/**
 * A synchronous standby that does not answer: a commit whose wait for it is cancelled is committed at the primary all the same, with no
 * more than a warning. A client must not take that for a grant, as a promotion would undo it.
 *
 * CANCELS: how many grants are asked for while the standby is silent.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Lease, PgElect, type PgElectOptions } from '../../../src/index.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { moment } from '../support/history.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { type FaultServer, startFaultServer } from '../support/server.ts'
import { skipWithoutProc } from '../support/server-processes.ts'
import { STANDBY_NAME, type Standby, startStandby } from '../support/standby.ts'

const cancels = scaled(6, 'CANCELS')

interface Pair {
  readonly primary: FaultServer
  readonly standby: Standby
  /** A session at the primary that writes nothing, and so never waits for the standby. */
  readonly observer: pg.Client
}

async function startPair(): Promise<Pair> {
  // What the operating system was given is not lost here.
  const primary = await startFaultServer({ fsync: 'off' })
  const standby = await startStandby(primary)
  await primary.configure({ synchronous_standby_names: STANDBY_NAME })
  const observer = await primary.connect()
  onTestFinished(() => observer.end())
  await until(async () => {
    const { rows } = await observer.query('SELECT sync_state FROM pg_stat_replication')
    return rows[0]?.sync_state === 'sync'
  })
  return { primary, standby, observer }
}

function openClient({ connectionString }: FaultServer, options: PgElectOptions): PgElect {
  const client = new PgElect({ connectionString, logger: silent, ...options })
  onTestFinished(() => client.close())
  return client
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await delay(2)
}

/** Cancels the wait of whatever commit of a client waits for the standby, once one does, and sees that it has ended. */
async function cancelWait(
  observer: pg.Client,
  how: 'pg_cancel_backend' | 'pg_terminate_backend',
  unless: () => boolean,
): Promise<void> {
  const text = `SELECT pid, query_start::text AS since, ${how}(pid) FROM pg_stat_activity
    WHERE wait_event = 'SyncRep' AND application_name = 'pg-elect'`
  let waiting: { pid: number; since: string }[] = []
  await until(async () => {
    waiting = (await observer.query(text)).rows
    return waiting.length > 0 || unless()
  })
  for (const { pid, since } of waiting) {
    const stillWaits = `SELECT FROM pg_stat_activity WHERE pid = $1 AND query_start = $2 AND wait_event = 'SyncRep'`
    await until(async () => (await observer.query(stillWaits, [pid, since])).rows.length === 0)
  }
}

/** The token that the standby has, of all that has arrived there. */
async function tokenAt(standby: Standby, name: string): Promise<number | undefined> {
  return standby.ask(async (client) => {
    const { rows: arrived } = await client.query<{ lsn: string }>('SELECT pg_last_wal_receive_lsn() AS lsn')
    await until(async () => {
      const text = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS replayed'
      return (await client.query<{ replayed: boolean }>(text, [arrived[0]?.lsn])).rows[0]?.replayed === true
    })
    const { rows } = await client.query<{ token: string }>('SELECT token FROM elect.leases WHERE name = $1', [
      name,
    ])
    return rows[0] === undefined ? undefined : Number(rows[0].token)
  })
}

describe(`a synchronous standby that does not answer, SEED=${seed} CANCELS=${cancels}`, () => {
  test(
    'what it does not have is not reported as held, and is settled once it answers',
    timeoutFor(cancels, 10_000),
    async (context) => {
      skipWithoutProc(context)
      const pair = await startPair()
      const { standby, observer } = pair
      // Time enough for several waits before the client gives one up by itself.
      const client = openClient(pair.primary, { ttlMs: 15_000, queryTimeoutMs: 3_000 })
      const random = seededRandom(seed)
      let committedHere = 0
      for (let round = 0; round < cancels; round += 1) {
        const name = `round ${round}`
        const how = random() < 0.5 ? 'pg_cancel_backend' : 'pg_terminate_backend'
        const isFrozen = random() < 0.5
        await (isFrozen ? standby.freeze() : standby.cutStream())
        let reported: Lease | undefined
        const asking = client.acquire(name).then((lease) => {
          reported = lease
          return lease
        })
        const times = 1 + Math.floor(random() * 3)
        for (let time = 0; time < times; time += 1)
          await cancelWait(observer, how, () => reported !== undefined)
        // The client has asked again, and waits again: it has seen what became of the one before.
        await until(async () => {
          const { rows } = await observer.query(
            `SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'pg-elect'`,
          )
          return rows.length > 0 || reported !== undefined
        })
        expect(reported).toBeUndefined()
        const { rows } = await observer.query('SELECT FROM elect.leases WHERE name = $1', [name])
        committedHere += rows.length

        await (isFrozen ? standby.thaw() : standby.mendStream())
        const lease = await asking
        expect(lease.isHeld).toBe(true)
        expect(await tokenAt(standby, name)).toBe(lease.token)
        await lease.release()
      }
      console.log(
        `SEED=${seed} CANCELS=${cancels}: ${committedHere} were committed at the primary alone, 0 of them reported as held`,
      )
      // Otherwise it would prove nothing.
      expect(committedHere).toBe(cancels)
    },
  )

  test('one that asks once is told that the outcome is unknown', { timeout: 120_000 }, async (context) => {
    skipWithoutProc(context)
    const pair = await startPair()
    await pair.standby.freeze()
    const client = openClient(pair.primary, { ttlMs: 15_000, queryTimeoutMs: 3_000 })
    const asking = client.tryAcquire('once')
    let isSettled = false
    asking
      .catch(() => undefined)
      .finally(() => {
        isSettled = true
      })
    await cancelWait(pair.observer, 'pg_cancel_backend', () => isSettled)
    await expect(asking).rejects.toMatchObject({ code: 'PG_ELECT_CONNECTION' })
    await pair.standby.thaw()
  })

  test('a renewal that it does not have extends nothing: the holder stops by its deadline', {
    timeout: 120_000,
  }, async (context) => {
    skipWithoutProc(context)
    const pair = await startPair()
    const client = openClient(pair.primary, { ttlMs: 2_000 })
    const lease = await client.acquire('renewed')
    await pair.standby.freeze()
    const trustedUntil = () => moment() + lease.remainingMs
    let aborted = false
    lease.signal.addEventListener('abort', () => {
      aborted = true
    })
    // Its last word, before any renewal could be cancelled.
    const latest = trustedUntil()
    let canceled = 0
    while (!aborted) {
      await cancelWait(pair.observer, 'pg_cancel_backend', () => aborted)
      canceled += 1
      // Both read one clock, a moment apart.
      if (!aborted) expect(trustedUntil()).toBeLessThan(latest + 1)
    }
    expect(lease.isHeld).toBe(false)
    // Otherwise it would prove nothing.
    expect(canceled).toBeGreaterThan(1)
    await pair.standby.thaw()
    const next = await client.acquire('renewed')
    expect(next.token).toBeGreaterThan(lease.token)
    expect(await tokenAt(pair.standby, 'renewed')).toBe(next.token)
  })
})
