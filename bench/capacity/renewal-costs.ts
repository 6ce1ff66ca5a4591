/** The measurements of `npm run bench:scale`: plain leases by the size of the batch, sessions by the leases that they keep, bytes on the disk. */
import type pg from 'pg'
import type { BenchDatabase } from '../harness/bench-database.ts'
import { median } from '../harness/statistics.ts'
import { type Beat, type Cost, hotPercent, measure } from './costs.ts'
import { type Population, populate } from './population.ts'
import type { StatementCost } from './projection.ts'
import { openServerCpu, type ServerCpu } from './server-cpu.ts'

const TTL_MS = 24 * 3600 * 1000
/** A round of statements that take long is cut short. */
const WITHIN_MS = 3000
const WHOLE = Number.POSITIVE_INFINITY
const SESSION_SIZES = [100, 1000, 10_000]
/** So many statements of each size make one round of about a second. */
const TURNS: Readonly<Record<number, number>> = { 1: 3000, 10: 1500, 100: 600, 1000: 100, 10000: 10 }

export interface RenewalCost extends StatementCost {
  readonly how: 'batch' | 'session'
  readonly msEach: number
  readonly pageImages: number
}

export interface Sizes {
  readonly tableBytes: number
  readonly indexBytes: number
}

export interface RenewalCosts {
  readonly leasesInTable: number
  readonly costs: readonly RenewalCost[]
  /** A lease on the disk: as many were granted at once, and once all have been renewed many times. */
  readonly fresh: Sizes
  readonly renewed: Sizes
  /** Of the updates, those that stayed on their page. */
  readonly hotPercent: number
  /** Of memory that a backend has to itself, which has renewed leases and listens; not a number: it could not be seen. */
  readonly backendBytes: number
}

export interface Options {
  /** In the table; a multiple of 10,000. */
  readonly leases: number
  readonly rounds: number
  /** All counts of statements times that. */
  readonly part: number
}

export async function measureRenewals(database: BenchDatabase, options: Options): Promise<RenewalCosts> {
  const session = await database.connect()
  const cpu = await openServerCpu(session)
  const population = await populate(session, {
    processes: options.leases / 1000,
    leases: 1000,
    isBySession: false,
    ttlMs: TTL_MS,
    heldForMs: TTL_MS,
  })
  const fresh = await sizes(session, options.leases)
  const perLease = await firstTouch(session, cpu, batchOf(population, options.leases, 1000), options.leases)
  const costs: RenewalCost[] = []
  for (const size of Object.keys(TURNS).map(Number)) {
    const beat = batchOf(population, options.leases, size)
    const turns = Math.max(2, Math.round((TURNS[size] ?? 1) * options.part))
    const cost = await inRounds(session, cpu, beat, { turns, rounds: options.rounds })
    const pageImageBytes = Math.max(0, perLease * size - cost.walBytes)
    costs.push({ ...cost, how: 'batch', leases: size, pageImageBytes })
  }
  const renewed = await sizes(session, options.leases)
  const hot = await hotPercent(session)
  const backendBytes = await memoryOfBackend(database, cpu, batchOf(population, options.leases, 1))
  await session.end()
  for (const size of SESSION_SIZES) costs.push(await bySession(database, size, options))
  return { leasesInTable: options.leases, costs, fresh, renewed, hotPercent: hot, backendBytes }
}

/** In the order in which a fleet beats: leases of one statement lie far from each other, and so do those of the next. */
function batchOf(population: Population, leases: number, size: number): Beat {
  const batches = leases / size
  const processes = leases / 1000
  return {
    text: 'SELECT granted, holder, token, version, metadata, expires_in FROM elect.renew_leases(names => $1, tokens => $2)',
    values(turn) {
      // Prime: it comes to all of them before it comes to one again.
      const first = (turn * 7919) % batches
      const places = Array.from({ length: size }, (_, place) => place * batches + first)
      return [
        places.map((at) => population.name(at % processes, Math.floor(at / processes))),
        places.map((at) => population.token(at % processes, Math.floor(at / processes))),
      ]
    },
  }
}

/**
 * Renews all once after a checkpoint, and some times more, until they lie as they come to lie.
 *
 * @returns bytes of the log for one lease, of the first time
 */
async function firstTouch(
  session: pg.Client,
  cpu: ServerCpu | undefined,
  beat: Beat,
  leases: number,
): Promise<number> {
  await session.query('CHECKPOINT')
  const turns = leases / 1000
  const first = await measure(session, cpu, beat, { from: 0, turns, withinMs: WHOLE })
  await measure(session, cpu, beat, { from: 0, turns: turns * 2, withinMs: WHOLE })
  return first.walBytesEach / 1000
}

async function inRounds(
  session: pg.Client,
  cpu: ServerCpu | undefined,
  beat: Beat,
  { turns, rounds }: { turns: number; rounds: number },
): Promise<Omit<RenewalCost, 'how' | 'leases' | 'pageImageBytes'>> {
  // What is prepared once counts little.
  await measure(session, cpu, beat, { from: 0, turns: Math.min(turns, 10), withinMs: WITHIN_MS / 4 })
  const seen: Cost[] = []
  for (let round = 0; round < rounds; round++) {
    seen.push(await measure(session, cpu, beat, { from: round * turns, turns, withinMs: WITHIN_MS }))
  }
  return {
    msEach: median(seen.map(({ msEach }) => msEach)),
    cpuMicros: median(seen.map(({ cpuMicrosEach }) => cpuMicrosEach)),
    walBytes: median(seen.map(({ walBytesEach }) => walBytesEach)),
    pageImages: median(seen.map(({ pageImages }) => pageImages)),
  }
}

async function bySession(database: BenchDatabase, size: number, options: Options): Promise<RenewalCost> {
  const own = await database.another()
  const session = await own.connect()
  try {
    const cpu = await openServerCpu(session)
    const processes = options.leases / size
    const population = await populate(session, {
      processes,
      leases: size,
      isBySession: true,
      ttlMs: TTL_MS,
      heldForMs: TTL_MS,
    })
    const beat: Beat = {
      text: 'SELECT granted, expires_in, must_reopen, lost_names, lost_tokens FROM elect.renew_session(session => $1)',
      values: (turn) => [population.session(turn % processes)],
    }
    await session.query('CHECKPOINT')
    const first = await measure(session, cpu, beat, { from: 0, turns: processes, withinMs: WHOLE })
    const turns = Math.max(2, Math.round(3000 * options.part))
    const cost = await inRounds(session, cpu, beat, { turns, rounds: options.rounds })
    const pageImageBytes = Math.max(0, first.walBytesEach - cost.walBytes)
    return { ...cost, how: 'session', leases: size, pageImageBytes }
  } finally {
    await session.end()
    await own.drop()
  }
}

async function sizes(session: pg.Client, leases: number): Promise<Sizes> {
  const { rows } = await session.query<{ heap: string; indexes: string }>(
    "SELECT pg_table_size('elect.leases') AS heap, pg_indexes_size('elect.leases') AS indexes",
  )
  return { tableBytes: Number(rows[0]?.heap) / leases, indexBytes: Number(rows[0]?.indexes) / leases }
}

async function memoryOfBackend(
  database: BenchDatabase,
  cpu: ServerCpu | undefined,
  beat: Beat,
): Promise<number> {
  if (cpu === undefined) return Number.NaN
  const session = await database.connect()
  const { rows } = await session.query<{ pid: number }>(
    "SELECT pg_backend_pid() AS pid FROM elect.acquire_lease('memory', 'memory') CROSS JOIN elect.listen(ARRAY['memory'])",
  )
  await measure(session, undefined, beat, { from: 0, turns: 20, withinMs: WHOLE })
  const bytes = cpu.backendBytes(rows[0]?.pid ?? 0)
  await session.end()
  return bytes
}
