import { setTimeout as delay } from 'node:timers/promises'
import type { Election, LeaseInfo } from '../../src/index.ts'
import { duration, type Screen } from '../support/screen.ts'
import type { Candidates } from './candidates.ts'
import { nameOf, type Picture } from './picture.ts'
import { machineTimeMs, type WorkLog } from './work-log.ts'

/** How much longer than the TTL a succession may take, for processes to be scheduled and messages to travel. */
const GRACE_MS = 1_000
const PATIENCE_MS = 8_000
/** The clocks of two processes tick at slightly different rates. */
const CLOCK_TOLERANCE_MS = 20

/** All that takes part. */
export interface Cast {
  readonly screen: Screen
  readonly election: Election
  readonly candidates: Candidates
  readonly picture: Picture
  readonly log: WorkLog
  readonly ttlMs: number
  /** Aborts when the story must end at once. */
  readonly signal: AbortSignal
}

/** Something that had to be so, and whether it was. */
export interface Finding {
  readonly isSo: boolean
  readonly text: string
}

/** A leader, and the moment at which its work began. */
interface Reign {
  readonly lease: LeaseInfo
  readonly beganAtMs: number
}

interface LeaseLook {
  /** How long it lasts unless it is renewed. */
  readonly leftMs: number
  /** Until when that is at least. */
  readonly leftUntilMs: number
  readonly renewals: number
}

/** Resolves once somebody leads under a larger token, and works. */
export async function nextReign(cast: Cast, after: number): Promise<Reign> {
  const timeout = AbortSignal.timeout(PATIENCE_MS)
  const signal = AbortSignal.any([cast.signal, timeout])
  try {
    const lease = await cast.picture.leaderAfter(after, signal)
    return { lease, beganAtMs: await cast.log.began(lease.token, signal) }
  } catch (error) {
    cast.signal.throwIfAborted()
    if (timeout.aborted) throw new Error(`nobody took over within ${duration(PATIENCE_MS, 0)}`)
    throw error
  }
}

/** A pause to look at the picture. */
export async function look(cast: Cast, ms: number): Promise<void> {
  await delay(ms, undefined, { signal: cast.signal })
}

/** The leader is killed. Another one takes over when the lease has run out, and not before. */
export async function crash(cast: Cast, reign: Reign): Promise<{ next: Reign; findings: Finding[] }> {
  const { screen, candidates, ttlMs } = cast
  const leader = candidates.named(nameOf(reign.lease))
  const { leftMs, leftUntilMs, renewals } = await lookAtLease(cast, reign)
  const killedAtMs = leader.kill()
  screen.event(screen.style('bold', `kill -KILL ${leader.pid}: ${leader.name} is gone without a word`))
  screen.event(`its lease must run out first, in ${duration(leftMs)}: nobody can tell dead from slow`)

  const next = await nextReign(cast, reign.lease.token)
  const tookMs = next.beganAtMs - killedAtMs
  screen.event(`succession took ${duration(tookMs)}, from the kill to the new leader's work`)
  return {
    next,
    findings: [
      { isSo: renewals > 0, text: `the leader renewed its lease while it worked: ${renewals} times` },
      {
        isSo: tookMs <= ttlMs + GRACE_MS,
        text: `after the crash another one led within TTL + 1 s: ${duration(tookMs)}`,
      },
      {
        isSo: next.beganAtMs >= leftUntilMs - CLOCK_TOLERANCE_MS,
        text: 'and not before the lease of the dead one had run out',
      },
    ],
  }
}

/** The leader is asked to stop. It gives the lease back, and another one is told at once. */
export async function goodbye(cast: Cast, reign: Reign): Promise<{ next: Reign; findings: Finding[] }> {
  const { screen, candidates } = cast
  const leader = candidates.named(nameOf(reign.lease))
  const { leftMs } = await lookAtLease(cast, reign)
  const askedAtMs = leader.stop()
  screen.event(
    screen.style('bold', `kill -TERM ${leader.pid}: ${leader.name} stops its work and gives the lease back`),
  )

  const next = await nextReign(cast, reign.lease.token)
  const tookMs = next.beganAtMs - askedAtMs
  screen.event(`hand-over took ${duration(tookMs)}: release, NOTIFY, grant; ${duration(leftMs)} were left`)
  return {
    next,
    findings: [
      {
        isSo: tookMs < leftMs,
        text: `after the orderly stop nobody waited for the TTL: ${duration(tookMs)}`,
      },
    ],
  }
}

/** What must be so of the whole story. */
export function conclude({ log }: Cast, tokens: readonly number[]): Finding[] {
  const overlap = log.overlap()
  return [
    {
      isSo: tokens.every((token, place) => place === 0 || token > (tokens[place - 1] ?? token)),
      text: `tokens grew: ${tokens.join(' < ')}`,
    },
    {
      isSo: overlap === undefined,
      text: overlap ?? `no two worked at the same time: ${log.size} log entries, none out of order`,
    },
  ]
}

/** What the database says of a leader's lease. */
async function lookAtLease({ election, signal }: Cast, { lease }: Reign): Promise<LeaseLook> {
  const askedAtMs = machineTimeMs()
  const now = await election.leader()
  signal.throwIfAborted()
  if (now?.token !== lease.token) throw new Error(`${nameOf(lease)} lost its lease though nobody touched it`)
  const leftMs = now.expiresInMs ?? 0
  return { leftMs, leftUntilMs: askedAtMs + leftMs, renewals: now.version - lease.version }
}
