import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { password, useOwnServer } from '../../sql/own-server.ts'
import { installSchema } from '../../support/postgres/install.ts'
import { type Commit, check } from './checker.ts'
import { openHistory } from './history.ts'
import { type Lane, openLane, worker } from './lane.ts'
import { scaled, seed } from '../support/scale.ts'
import { addVerdict, emptyTally, outcomesOf, summaryOf, type Tally } from './report.ts'
import { drawSchedule } from './schedule.ts'
import { type Variant, variants } from './variants.ts'

/** Of all guarded variants together. Each of them, and the unguarded one, acts out the same schedules. */
const guardedSchedules = scaled(2_000, 'SCHEDULES')
const lanesAtOnce = Number(process.env.LANES || 16)
const perVariant = Math.ceil(guardedSchedules / variants.filter(({ isGuarded }) => isGuarded).length)

// The history comes from the log of the server. What a crash would lose does not matter here.
const server = useOwnServer({ wal_level: 'logical', max_connections: 300, fsync: 'off' })
const lanes: Lane[] = []
let observer: pg.Client
let readHistory: () => Promise<Commit[]>

beforeAll(async () => {
  const url = server.urlOf('postgres')
  await installSchema(url)
  observer = await server.connect(url)
  await observer.query(`CREATE ROLE ${worker} LOGIN PASSWORD '${password}'`)
  await observer.query(`GRANT elect_user TO ${worker}`)
  readHistory = await openHistory(observer)
  for (let lane = 0; lane < lanesAtOnce; lane += 1)
    lanes.push(await openLane((user) => server.urlOf('postgres', user), lane))
})

afterAll(() => Promise.allSettled(lanes.map((lane) => lane.close())))

async function run(variant: Variant): Promise<Tally> {
  const tally = emptyTally(variant.name, seed)
  let next = 0
  const runLane = async (lane: Lane) => {
    while (next < perVariant) {
      const number = next++
      const lease = `${variant.name}, schedule ${number}`
      await lane.act(variant, lease, drawSchedule(seed, number), {
        outcome: (step) => tally.outcomes.set(step, (tally.outcomes.get(step) ?? 0) + 1),
        complain: (what) => tally.violations.push(`${lease}: ${what}`),
      })
      tally.schedules += 1
    }
  }
  await Promise.all(lanes.map(runLane))
  for (const [lease, verdict] of check(await readHistory())) addVerdict(tally, lease, verdict)
  console.log(summaryOf(tally))
  if (process.env.OUTCOMES) console.log(outcomesOf(tally))
  return tally
}

describe(`random schedules, SEED=${seed} SCHEDULES=${guardedSchedules}`, () => {
  test.each(variants.filter(({ isGuarded }) => isGuarded))(
    '$name: no stale commit',
    { timeout: 600_000 },
    async (variant) => {
      const tally = await run(variant)
      expect(tally.violations).toEqual([])
      expect(tally.staleSchedules).toEqual([])
      // Otherwise it would prove nothing.
      expect(tally.commits).toBeGreaterThan(perVariant / 4)
    },
  )

  test.each(variants.filter(({ isGuarded }) => !isGuarded))(
    '$name: stale commits in most',
    { timeout: 600_000 },
    async (variant) => {
      const tally = await run(variant)
      expect(tally.violations).toEqual([])
      expect(tally.staleSchedules.length).toBeGreaterThan(perVariant / 2)
    },
  )
})
