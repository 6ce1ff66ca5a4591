/**
 * A server that is frozen, restarted, starved of connections and killed under leaders that write all the time, and candidates that wait
 * for their turn, in processes of their own. Whatever happens, leaders keep their leases or lose them in time, what is guarded follows
 * the order of tokens, and afterwards everything goes on.
 *
 * ROUNDS: how many disturbances; SEED: which, and in what order.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../unit/support/random.ts'
import { History, type Moment, moment } from '../support/history.ts'
import { checkHistory } from '../support/history-checker.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { type FaultServer, startFaultServer } from '../support/server.ts'
import { type ContenderProcess, startContenderProcess } from '../support/server-contenders.ts'
import { skipWithoutProc } from '../support/server-processes.ts'

const TTL_MS = 1_500
const leases = ['lease 0', 'lease 1', 'lease 2', 'lease 3']
const TABLE = 'public.work'

interface Stage {
  readonly server: FaultServer
  readonly contenders: readonly ContenderProcess[]
  readonly random: () => number
}

interface Disturbance {
  /** Does it, and ends it. */
  act(stage: Stage): Promise<void>
  /** Whether no leader can renew for longer than a TTL, so that all terms must end; or no leader is kept from it at all. */
  readonly terms?: 'all end' | 'none ends'
}

const forMs = (ttls: number, { random }: Stage) => delay(TTL_MS * ttls * (0.8 + 0.4 * random()))

/** Does something again and again for that many TTLs. */
async function repeatedly(stage: Stage, ttls: number, act: () => Promise<unknown>): Promise<void> {
  const until = moment() + TTL_MS * ttls
  while (moment() < until) {
    await act()
    await delay(10 + 50 * stage.random())
  }
}

/**
 * Ends the clients' own sessions and takes all places. They stand still meanwhile, or they would be back at once.
 *
 * @returns a call that gives the places back
 */
async function starve({ server, contenders }: Stage): Promise<() => Promise<void>> {
  for (const contender of contenders) contender.signal('SIGSTOP')
  await server.ask((client) =>
    client.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pg-elect'`,
    ),
  )
  const giveBack = await server.exhaustConnections()
  for (const contender of contenders) contender.signal('SIGCONT')
  return giveBack
}

const disturbances: Record<string, Disturbance> = {
  'frozen for less than a TTL': {
    act: async (stage) => {
      await stage.server.freeze()
      await forMs(0.3, stage)
      await stage.server.thaw()
    },
  },
  'frozen for more than a TTL': {
    terms: 'all end',
    act: async (stage) => {
      await stage.server.freeze()
      await forMs(1.6, stage)
      await stage.server.thaw()
    },
  },
  'restarted immediately': {
    act: ({ server }) => server.restartImmediately(),
  },
  'restarted again and again': {
    act: (stage) => repeatedly(stage, 1.5, () => stage.server.restartImmediately()),
  },
  'sessions terminated again and again': {
    act: (stage) => repeatedly(stage, 1.5, () => stage.server.terminateSessions()),
  },
  'no connections left, while renewals go on': {
    terms: 'none ends',
    act: async (stage) => {
      const giveBack = await stage.server.exhaustConnections()
      await forMs(1.5, stage)
      await giveBack()
    },
  },
  'no connections left to come back to': {
    terms: 'all end',
    act: async (stage) => {
      const giveBack = await starve(stage)
      await forMs(1.6, stage)
      await giveBack()
    },
  },
  'killed and started again': {
    act: async ({ server }) => {
      await server.kill()
      await server.start()
    },
  },
}

const kinds = Object.keys(disturbances)
const only = new RegExp(process.env.ONLY || '')
const rounds = scaled(kinds.length, 'ROUNDS')

/** Each kind comes up as often as the others, in an order of chance. */
function drawKinds(random: () => number): string[] {
  const drawn: string[] = []
  while (drawn.length < rounds) {
    const rest = kinds.filter((kind) => only.test(kind))
    while (rest.length > 0) drawn.push(...rest.splice(Math.floor(random() * rest.length), 1))
  }
  return drawn.slice(0, rounds)
}

/** The terms that had begun and not ended at that moment. */
function termsAt(contenders: readonly ContenderProcess[], at: Moment): Set<number> {
  const terms = new Set<number>()
  for (const { events } of contenders) {
    for (const event of events) if (event.kind === 'grant' && event.answeredAt <= at) terms.add(event.token)
    for (const event of events) if (event.kind === 'ending' && event.at <= at) terms.delete(event.token)
  }
  return terms
}

/** Resolves once each lease has a leader that writes, begun after that moment. */
async function untilAllWrite(contenders: readonly ContenderProcess[], since: Moment): Promise<void> {
  const writes = (lease: string) =>
    contenders.some(({ events }) =>
      events.some(
        (event) =>
          event.kind === 'write' &&
          event.lease === lease &&
          event.outcome === 'committed' &&
          event.sentAt > since,
      ),
    )
  await Promise.race(
    contenders.map((contender) =>
      contender.until('each lease has a leader that writes', () => leases.every(writes)),
    ),
  )
}

async function readWork(server: FaultServer): Promise<{ ids: Set<string>; disorder: number }> {
  return server.ask(async (client) => {
    const { rows } = await client.query<{ id: string; is_stale: boolean }>(
      `SELECT id, token < max(token) OVER (PARTITION BY lease ORDER BY number) AS is_stale FROM ${TABLE}`,
    )
    return {
      ids: new Set(rows.map(({ id }) => id)),
      disorder: rows.filter(({ is_stale }) => is_stale).length,
    }
  })
}

describe(`a server that is disturbed, SEED=${seed} ROUNDS=${rounds}`, () => {
  test(
    'leaders keep their leases or lose them in time, and afterwards everything goes on',
    timeoutFor(rounds, 30_000),
    async (context) => {
      skipWithoutProc(context)
      const server = await startFaultServer({ max_connections: 60, fsync: 'off' })
      await server.ask((client) =>
        client.query(
          `CREATE TABLE ${TABLE} (number bigserial PRIMARY KEY, lease text, token bigint, id text)`,
        ),
      )
      const history = new History()
      const { connectionString } = server
      const contenders = await Promise.all(
        ['one', 'two', 'three'].map((label) =>
          startContenderProcess({ connectionString, label, ttlMs: TTL_MS, table: TABLE }, history),
        ),
      )
      const stage: Stage = { server, contenders, random: seededRandom(seed) }
      for (const contender of contenders) contender.tell({ campaign: leases })
      await untilAllWrite(contenders, 0)

      const tally: Record<string, { terms: number; ended: number; backMs: number }> = {}
      const wrong: string[] = []
      for (const [round, kind] of drawKinds(stage.random).entries()) {
        const disturbance = disturbances[kind] as Disturbance
        await untilAllWrite(contenders, moment())
        const before = termsAt(contenders, moment())
        await disturbance.act(stage)
        const actedAt = moment()
        await untilAllWrite(contenders, actedAt)
        expect(contenders.flatMap(({ failures }) => failures)).toEqual([])
        // As it was then, which all have told by now.
        const after = termsAt(contenders, actedAt)
        const ended = [...before].filter((token) => !after.has(token)).length
        if (disturbance.terms === 'all end' && ended < before.size)
          wrong.push(`round ${round}, ${kind}: ${before.size - ended} terms went on`)
        if (disturbance.terms === 'none ends' && ended > 0)
          wrong.push(`round ${round}, ${kind}: ${ended} terms ended`)
        const seen = tally[kind] ?? { terms: 0, ended: 0, backMs: 0 }
        seen.terms += before.size
        seen.ended += ended
        seen.backMs = Math.max(seen.backMs, Math.round(moment() - actedAt))
        tally[kind] = seen
      }
      // Contenders go on writing: what was acknowledged before the look must be in it.
      const told = [...history.events]
      const { ids, disorder } = await readWork(server)
      history.foundWrites(ids)
      const lost = told.filter(
        (event) => event.kind === 'write' && event.outcome === 'committed' && !ids.has(event.id),
      )
      const { violations, ...figures } = checkHistory(history.events)
      console.log(
        `SEED=${seed} ROUNDS=${rounds}: ${JSON.stringify(figures)}, ${violations.length} violations\n${JSON.stringify(tally, undefined, 1)}`,
      )
      for (const lease of new Set(violations.map((words) => words.slice(0, words.indexOf(':')))))
        console.log(history.excerpt(lease))
      expect(violations).toEqual([])
      expect(wrong).toEqual([])
      expect([disorder, lost.length]).toEqual([0, 0])
      // Otherwise it would prove nothing.
      expect(figures.writes).toBeGreaterThan(rounds * leases.length)
    },
  )
})
