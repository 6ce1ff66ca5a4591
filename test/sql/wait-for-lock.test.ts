import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { scalar, useDatabase } from './leases.ts'

const database = useDatabase()
let holder: pg.Client
let waiter: pg.Client

beforeAll(async () => {
  holder = await database.connect()
  waiter = await database.connect()
})

const functions = [
  ['advisory_lock', `SELECT elect.advisory_lock($1, '3 milliseconds')`],
  ['acquire_queued', `SELECT granted FROM elect.acquire_queued($1, 'ada', longest => '3 milliseconds')`],
] as const

// The server grants a lock in the very moment in which the time of the one that waits runs out, and only that one moment counts: so
// often, and close by.
test.each(functions)('%s: who was told that it has not got the lock has not got it', async (name, call) => {
  const key = 'elect.advisory_key($1)'
  let refused = 0
  for (let round = 0; round < 300; round++) {
    await holder.query(`SELECT pg_advisory_lock(${key})`, [name])
    const waiting = scalar<boolean>(waiter, call, [name])
    const seconds = 0.0025 + 0.0015 * Math.random()
    const [isGranted] = await Promise.all([
      waiting,
      holder.query(`SELECT pg_sleep($2), pg_advisory_unlock(${key})`, [name, seconds]),
    ])
    const locks = await scalar<number>(
      waiter,
      `SELECT count(*)::int FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'`,
    )
    expect(locks).toBe(isGranted ? 1 : 0)
    if (!isGranted) refused += 1
    await waiter.query('SELECT pg_advisory_unlock_all()')
    await waiter.query('SELECT elect.release_lease(name, token) FROM elect.leases WHERE name = $1', [name])
  }
  expect(refused).toBeGreaterThan(0)
})
