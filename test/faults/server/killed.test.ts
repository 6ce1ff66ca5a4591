/**
 * `kill -9` of the whole server, again and again, under sessions that have set synchronous_commit to off: no acknowledged grant is lost.
 *
 * What that shows: memory of the server that no process has handed to the operating system dies with it, and with it WAL that was
 * written lazily. The page cache of the operating system lives on, so this shows that the WAL of a grant was handed over before the
 * grant was acknowledged; that it was forced to the disk by then as well is up to fsync, which is on here, and which a commit waits for
 * where synchronous_commit is on. The second test shows that the harness would notice: there the functions do not raise it.
 *
 * RUNS: how many kills; SEED: what contenders draw. When exactly the kill comes is up to the machine.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Random } from '../../../src/jitter.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { History, moment } from '../support/history.ts'
import { checkHistory } from '../support/history-checker.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { type FaultServer, startFaultServer } from '../support/server.ts'
import { skipWithoutProc } from '../support/server-processes.ts'
import { SessionContender } from '../support/server-sessions.ts'

const runs = scaled(5, 'RUNS')
const leases = Array.from({ length: 12 }, (_, index) => `lease ${index}`)
const CONTENDERS = 8

/** One life of the server: contention, death, recovery, and a look at what is left. */
async function live(
  server: FaultServer,
  contenders: readonly SessionContender[],
  history: History,
  random: Random,
): Promise<void> {
  const grants = () => history.events.filter(({ kind }) => kind === 'grant').length
  const enough = grants() + 5 + 30 * random()
  const contending = Promise.all(contenders.map((contender) => contender.contend(server)))
  while (grants() < enough) await delay(2)
  // In the middle of something.
  await delay(5 * random())
  await server.kill()
  await contending
  await server.start()
  await server.ask(async (client) => {
    const sentAt = moment()
    const { rows } = await client.query<{ name: string; token: string; holder: string | null }>(
      'SELECT name, token, holder FROM elect.leases',
    )
    const found = new Map(rows.map((row) => [row.name, row]))
    for (const lease of leases) {
      const { token = null, holder = null } = found.get(lease) ?? {}
      const shown = { lease, token: token === null ? null : Number(token), holder }
      history.record({ kind: 'row', ...shown, sentAt, answeredAt: moment() })
    }
  })
}

function cast(history: History): { contenders: SessionContender[]; random: Random } {
  const random = seededRandom(seed)
  const plan = {
    leases,
    // Some run out and are taken over; some have to be there after the kill.
    ttlsMs: [200, 60_000],
    random,
    history,
    prelude: 'SET synchronous_commit = off',
  }
  const contenders = Array.from({ length: CONTENDERS }, (_, index) => new SessionContender(`s${index}`, plan))
  return { contenders, random }
}

describe(`kill -9 of the server, SEED=${seed} RUNS=${runs}`, () => {
  test('no acknowledged grant is lost', timeoutFor(runs, 10_000), async (context) => {
    skipWithoutProc(context)
    const server = await startFaultServer()
    const settings = await server.ask(async (client) => (await client.query('SHOW fsync')).rows)
    expect(settings).toEqual([{ fsync: 'on' }])
    const history = new History()
    const { contenders, random } = cast(history)
    for (let run = 0; run < runs; run += 1) await live(server, contenders, history, random)

    const verdict = checkHistory(history.events)
    const { violations, ...figures } = verdict
    console.log(`SEED=${seed} RUNS=${runs}: ${JSON.stringify(figures)}, ${violations.length} violations`)
    if (violations.length > 0) for (const lease of leases) console.log(history.excerpt(lease))
    expect(violations).toEqual([])
    // Otherwise it would prove nothing.
    expect(figures.rows).toBe(runs * leases.length)
    expect(figures.grants).toBeGreaterThan(runs * 5)
    expect(figures.renewals).toBeGreaterThan(runs)
  })

  test(
    'where grants do not raise synchronous_commit, some are lost, and that is noticed',
    timeoutFor(20, 10_000),
    async (context) => {
      skipWithoutProc(context)
      const server = await startFaultServer()
      await server.ask((client) =>
        client.query(
          'CREATE OR REPLACE FUNCTION elect.raise_durability() RETURNS boolean LANGUAGE sql RETURN true',
        ),
      )
      const history = new History()
      const { contenders, random } = cast(history)
      let run = 0
      do {
        await live(server, contenders, history, random)
        run += 1
      } while (run < 20 && checkHistory(history.events).violations.length === 0)
      const { violations } = checkHistory(history.events)
      console.log(`SEED=${seed}: noticed after ${run} runs, such as "${violations[0]}"`)
      expect(violations.join('\n')).toMatch(/token \d+ was granted, but the row shows/)
    },
  )
})
