/** Leaders are killed, and the next ones wait: how long until these lead? */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type Blueprint, openContender } from '../contenders/blueprint.ts'
import type { Contender, Release } from '../contenders/contender.ts'
import { type LeaderProcess, startLeader } from '../contenders/leaders.ts'
import { closeAll } from './elect.ts'
import type { Figures, Runner } from './scenario.ts'
import { toldCount, toldQuantile } from './told.ts'

export const TAKEOVER_FIGURE = 'ms to the next'
const AFTER_EXPIRY = 'ms after expiry'
export const AFTER_EXPIRY_P99 = 'after expiry p99 ms'
export const TAKEOVER_TOLD = [
  toldQuantile('p99 ms', TAKEOVER_FIGURE, 0.99),
  toldCount('n', TAKEOVER_FIGURE),
  toldQuantile('after expiry p50 ms', AFTER_EXPIRY, 0.5),
  toldQuantile(AFTER_EXPIRY_P99, AFTER_EXPIRY, 0.99),
]

/** From the moment at which all successors have asked to that at which they surely wait. */
const SETTLE_MS = 500
/** After this much nothing that the dead had sent is still on its way. */
const LAST_WORDS_MS = 50

/** One that waits for the end of a leader. */
export interface Successor {
  readonly name: string
  readonly elected: Promise<{ atMs: number; release: Release }>
}

/** Which successor waits for which leader: how they come about is for each kind to say. */
export interface Succession {
  /** One after the other, or all at the same moment. */
  readonly isOneByOne: boolean
  prepare(forMs: number): Promise<Step[]>
  close(): Promise<unknown>
}

export interface Step {
  readonly successors: readonly Successor[]
  /** Ends those that lead, and says when. */
  end(): number | Promise<number>
}

/** @param session - in the database, to read when leases expire; undefined: they stand elsewhere */
export function takeoverRunner(
  { isOneByOne, prepare, close }: Succession,
  session: pg.Client | undefined,
  settleMs = SETTLE_MS,
): Runner {
  let steps: Step[] = []
  return {
    async prepare(forMs) {
      steps = await prepare(forMs)
      await sleep(settleMs)
    },
    async round(): Promise<Figures> {
      const batches = isOneByOne ? steps.map((step) => [step]) : [steps]
      const outcomes: Outcome[] = []
      for (const batch of batches) outcomes.push(...(await succeed(batch, session)))
      // Whoever was elected before the end had a leader that lost it on a busy machine: nothing to do with its death.
      const sound = outcomes.filter(({ tookMs }) => tookMs >= 0)
      return {
        [TAKEOVER_FIGURE]: sound.map(({ tookMs }) => tookMs),
        [AFTER_EXPIRY]: sound.flatMap(({ afterExpiryMs = [] }) => afterExpiryMs),
      }
    },
    async close() {
      await close()
      await session?.end()
    },
  }
}

interface Outcome {
  readonly tookMs: number
  readonly afterExpiryMs: number | undefined
}

/** All of these at the same moment. */
async function succeed(steps: readonly Step[], session: pg.Client | undefined): Promise<Outcome[]> {
  const waiting = await Promise.all(
    steps.map(async ({ successors, end }) => {
      const endedMs = await end()
      return successors.map((successor) => ({ ...successor, endedMs }))
    }),
  )
  const successors = waiting.flat()
  const names = successors.map(({ name }) => name)
  const expiries = await readExpiries(session, names)
  return Promise.all(
    successors.map(async ({ name, endedMs, elected }) => {
      const { atMs, release } = await elected
      await release()
      const expiryMs = expiries.get(name)
      return {
        tookMs: atMs - endedMs,
        afterExpiryMs: expiryMs === undefined ? undefined : atMs - expiryMs,
      }
    }),
  )
}

/** When the leases run out, by this process's clock. */
async function readExpiries(
  session: pg.Client | undefined,
  names: readonly string[],
): Promise<Map<string, number>> {
  if (session === undefined) return new Map()
  await sleep(LAST_WORDS_MS)
  const askedMs = performance.now()
  const { rows } = await session.query<{ name: string; inMs: number }>(
    `SELECT name, extract(epoch FROM expires_at - clock_timestamp())::float8 * 1000 AS "inMs"
      FROM elect.leases WHERE name = ANY ($1)`,
    [names],
  )
  // The server's clock was read somewhere between.
  const readMs = (askedMs + performance.now()) / 2
  return new Map(rows.map(({ name, inMs }) => [name, readMs + inMs]))
}

export function waitFor(contender: Contender, name: string): Successor {
  const elected = contender.acquire(name).then((release) => ({ atMs: performance.now(), release }))
  return { name, elected }
}

export interface Killing {
  readonly blueprint: Blueprint
  /** How many leading processes in a round of that length. */
  processes(forMs: number): number
  /** Names in which a process leads, and which end with it. */
  readonly perProcess: number
  readonly isOneByOne: boolean
  /** Where not one by one: how long after each other they are killed. Default: at the same moment. */
  readonly apartMs?: number
}

export async function killing({
  blueprint,
  processes,
  perProcess,
  isOneByOne,
  apartMs = 0,
}: Killing): Promise<Succession> {
  // One client of pg-elect is enough for a process, and many would all be woken whenever something is told; elsewhere each is alone.
  const isShared = blueprint.kind.startsWith('elect')
  const contenders: Contender[] = []
  const leaders = new Set<LeaderProcess>()
  let names = 0
  const contenderAt = async (index: number) => {
    const contender = contenders[isShared ? 0 : index] ?? (await openContender(blueprint))
    if (!contenders.includes(contender)) contenders.push(contender)
    return contender
  }
  return {
    isOneByOne,
    async prepare(forMs) {
      const started = await Promise.all(
        Array.from({ length: processes(forMs) }, () => {
          const own = Array.from(
            { length: perProcess },
            () => `${blueprint.kind} ${blueprint.ttlMs} ${++names}`,
          )
          return startLeader(blueprint, own)
        }),
      )
      const steps: Step[] = []
      let next = 0
      for (const [index, leader] of started.entries()) {
        leaders.add(leader)
        const successors: Successor[] = []
        for (const name of leader.names) successors.push(waitFor(await contenderAt(next++), name))
        steps.push({
          successors,
          async end() {
            if (apartMs > 0) await sleep(index * apartMs)
            const atMs = performance.now()
            leader.kill()
            leaders.delete(leader)
            return atMs
          },
        })
      }
      return steps
    },
    async close() {
      for (const leader of leaders) leader.kill()
      await closeAll(contenders)
    },
  }
}
