/** What goes wrong in a schedule, and when: drawn from a seed before anything is run. */
import type { Dice } from '../../faults/guard/schedule.ts'

export type Trouble =
  /** SIGSTOP or a blocked event loop; with `suspended` the machine sleeps. */
  | {
      readonly kind: 'pause'
      readonly who: number
      readonly mode: 'stopped' | 'suspended'
      readonly lastsMs: number
    }
  | { readonly kind: 'die'; readonly who: number }
  /** Nothing gets through in that direction, and nothing tells of it. */
  | {
      readonly kind: 'cut'
      readonly who: number
      readonly way: 'up' | 'down' | 'both'
      readonly lastsMs: number
    }
  | { readonly kind: 'refuse'; readonly who: number; readonly lastsMs: number }
  | { readonly kind: 'slow'; readonly who: number; readonly delayMsMax: number; readonly lastsMs: number }
  | {
      readonly kind: 'lose answers'
      readonly who: number
      readonly ofHundred: number
      readonly lastsMs: number
    }
  | { readonly kind: 'disconnect'; readonly who: number }
  | { readonly kind: 'set wall clock'; readonly who: number; readonly byMs: number }
  | { readonly kind: 'set server clock'; readonly byMs: number }
  /** A standby takes over that knows nothing of what came in the last while, and whose clock is another. */
  | { readonly kind: 'fail over'; readonly lostMs: number; readonly byMs: number }
  | { readonly kind: 'force' }
  | { readonly kind: 'ask to step down' }
  | { readonly kind: 'resign'; readonly who: number }
  | { readonly kind: 'transfer'; readonly who: number }

export interface Schedule {
  readonly ttlMs: number
  /** One for each process: its priority, how fast its clocks go, and when it comes. */
  readonly members: readonly {
    readonly priority: number
    readonly rate: number
    readonly joinsAtMs: number
  }[]
  readonly troubles: readonly { readonly atMs: number; readonly trouble: Trouble }[]
  /** From then on nothing goes wrong. */
  readonly calmAtMs: number
  /** One row keeps the leases of each process. */
  readonly hasSessions: boolean
}

/** Clocks differ by up to so much: well within the safety margin, which is a tenth. */
const DRIFT = 0.04

export function drawSchedule(dice: Dice): Schedule {
  const ttlMs = dice.pick([1_000, 3_000])
  const count = dice.pick([2, 2, 2, 3])
  const hasPriorities = dice.chance(0.2)
  const members = Array.from({ length: count }, (_, index) => ({
    priority: hasPriorities ? dice.below(3) : 0,
    rate: 1 + DRIFT * (2 * dice.next() - 1),
    joinsAtMs: index === 0 ? 0 : dice.below(ttlMs / 2),
  }))
  const calmAtMs = 3 * ttlMs
  const troubles = Array.from({ length: dice.between(1, 4) }, () => ({
    atMs: dice.between(ttlMs / 10, calmAtMs - ttlMs / 2),
    trouble: drawTrouble(dice, ttlMs, count),
  })).sort((one, other) => one.atMs - other.atMs)
  // The server may be set or replaced once: what is excused by that stays few.
  const isOfServer = ({ trouble: { kind } }: { trouble: Trouble }) =>
    kind === 'set server clock' || kind === 'fail over'
  const first = troubles.find(isOfServer)
  return {
    ttlMs,
    members,
    troubles: troubles.filter((one) => one === first || !isOfServer(one)),
    calmAtMs,
    hasSessions: dice.chance(0.4),
  }
}

function drawTrouble(dice: Dice, ttlMs: number, count: number): Trouble {
  // Usually the one that leads at first.
  const who = dice.chance(0.55) ? 0 : dice.below(count)
  const lastsMs = dice.between(ttlMs / 10, 2 * ttlMs)
  const roll = dice.below(100)
  if (roll < 14) return { kind: 'pause', who, mode: dice.chance(0.7) ? 'stopped' : 'suspended', lastsMs }
  if (roll < 19) return { kind: 'die', who }
  if (roll < 34) return { kind: 'cut', who, way: dice.pick(['up', 'down', 'both'] as const), lastsMs }
  if (roll < 38) return { kind: 'refuse', who, lastsMs }
  if (roll < 54) return { kind: 'slow', who, delayMsMax: dice.between(ttlMs / 20, ttlMs), lastsMs }
  if (roll < 64) return { kind: 'lose answers', who, ofHundred: dice.pick([30, 60, 100]), lastsMs }
  if (roll < 70) return { kind: 'disconnect', who }
  if (roll < 76) return { kind: 'set wall clock', who, byMs: either(dice, dice.between(1, 3_600_000)) }
  if (roll < 82)
    return { kind: 'set server clock', byMs: either(dice, dice.pick([dice.below(2 * ttlMs), 3_600_000])) }
  if (roll < 88)
    return { kind: 'fail over', lostMs: dice.between(0, 2 * ttlMs), byMs: either(dice, dice.below(ttlMs)) }
  if (roll < 90) return { kind: 'force' }
  if (roll < 92) return { kind: 'ask to step down' }
  if (roll < 97) return { kind: 'resign', who }
  return { kind: 'transfer', who }
}

function either(dice: Dice, ms: number): number {
  return dice.chance(0.5) ? ms : -ms
}
