import type { Direction } from '../support/fault-proxy.ts'

/**
 * What the contenders do, drawn from a seed. The same seed and number give the same steps to every variant; only what the
 * server answers differs.
 */
export type Isolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

export type Step =
  /**
   * `seize`: where takeovers are written by hand, also from a holder whose lease has not expired. `open`: commits only
   * when the contender turns to the lease again, so that others meet a grant that is not one yet.
   */
  | {
      readonly act: 'acquire'
      readonly who: number
      readonly ttlMs: number
      readonly seize: boolean
      readonly open: boolean
    }
  | { readonly act: 'renew' | 'release'; readonly who: number }
  | { readonly act: 'transfer'; readonly who: number; readonly to: number }
  | { readonly act: 'force'; readonly who: number; readonly terminate: boolean }
  /** `guarded`: with the check as its first statement; else the transaction only takes its snapshot. */
  | { readonly act: 'begin'; readonly who: number; readonly isolation: Isolation; readonly guarded: boolean }
  | { readonly act: 'guard' | 'commit' | 'rollback'; readonly who: number }
  /** `bare`: without a check first, where the table is protected and has to refuse it by itself. */
  | { readonly act: 'write'; readonly who: number; readonly bare: boolean }
  | { readonly act: 'savepoint' | 'rollback to'; readonly who: number }
  | { readonly act: 'kill'; readonly who: number; readonly session: 'lease' | 'work' }
  /** Holds the packets of the first contender's transaction, until `let go`. */
  | { readonly act: 'hold'; readonly direction: Direction }
  | { readonly act: 'let go' }
  /** Waits until the server shows the lease expired. */
  | { readonly act: 'expire' }

export interface Schedule {
  readonly number: number
  readonly contenders: number
  readonly steps: readonly Step[]
}

const isolations: readonly Isolation[] = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']

export function drawSchedule(seed: number, number: number): Schedule {
  const dice = new Dice(seed, number)
  const contenders = dice.between(2, 4)
  const steps = dice.chance(0.93) ? aroundTakeover(dice, contenders) : noise(dice, contenders, 20)
  return { number, contenders, steps }
}

/** A takeover between check and write, with other things going on around it: what guards are for. */
function aroundTakeover(dice: Dice, contenders: number): Step[] {
  const victim = dice.below(contenders)
  const others = [...Array(contenders).keys()].filter((who) => who !== victim)
  const rival = dice.pick(others)
  const plot: Step[] = [acquire(dice, victim, 0.03), begin(dice, victim)]
  if (dice.chance(0.3)) plot.push(write(dice, victim))
  if (dice.chance(0.2)) plot.push({ act: 'savepoint', who: victim })
  // What was proved after the savepoint is proved no more.
  if (dice.chance(0.1))
    plot.push(...(['savepoint', 'guard', 'rollback to'] as const).map((act) => ({ act, who: victim })))
  if (victim === 0 && dice.chance(0.3))
    plot.push({ act: 'hold', direction: dice.chance(0.7) ? 'up' : 'down' })
  // Sent before the takeover, and on its way while it happens.
  const early = plot.at(-1)?.act === 'hold' && dice.chance(0.5)
  const ending: Step[] = [write(dice, victim), { act: 'commit', who: victim }]
  if (early) plot.push(...ending)
  plot.push(...vacate(dice, victim, rival), acquire(dice, rival, 0.03))
  if (dice.chance(0.3)) plot.push(begin(dice, rival), write(dice, rival), { act: 'commit', who: rival })
  plot.push(...(early ? [{ act: 'let go' } as const] : ending))

  if (dice.chance(0.06)) plot.splice(dice.between(1, plot.length), 0, kill(dice, victim))

  const mixed: Step[] = []
  for (const step of plot) {
    if (dice.chance(0.4)) mixed.push(...noise(dice, others, dice.between(1, 3)))
    mixed.push(step)
  }
  return [...mixed, ...noise(dice, contenders, dice.between(4, 12))]
}

function vacate(dice: Dice, victim: number, rival: number): Step[] {
  const roll = dice.below(10)
  if (roll === 0) return [{ act: 'release', who: victim }]
  if (roll === 1) return [{ act: 'transfer', who: victim, to: rival }]
  if (roll === 2) return [{ act: 'force', who: rival, terminate: dice.chance(0.2) }]
  return roll < 5 ? [{ act: 'renew', who: victim }, { act: 'expire' }] : [{ act: 'expire' }]
}

/** Anything at all, by these contenders. */
function noise(dice: Dice, contenders: number | readonly number[], count: number): Step[] {
  const all = typeof contenders === 'number' ? [...Array(contenders).keys()] : contenders
  return Array.from({ length: count }, () => anything(dice, dice.pick(all), all))
}

function anything(dice: Dice, who: number, all: readonly number[]): Step {
  const roll = dice.below(100)
  if (roll < 22) return acquire(dice, who)
  if (roll < 30) return { act: 'renew', who }
  if (roll < 44) return begin(dice, who)
  if (roll < 60) return write(dice, who)
  if (roll < 72) return { act: 'commit', who }
  if (roll < 75) return { act: 'rollback', who }
  if (roll < 78) return { act: 'savepoint', who }
  if (roll < 81) return { act: 'rollback to', who }
  if (roll < 84) return { act: 'guard', who }
  if (roll < 87) return { act: 'release', who }
  if (roll < 89) return { act: 'transfer', who, to: dice.pick(all) }
  if (roll < 91) return { act: 'force', who, terminate: dice.chance(0.3) }
  if (roll < 93) return kill(dice, who)
  if (roll < 95) return { act: 'hold', direction: dice.chance(0.5) ? 'up' : 'down' }
  if (roll < 97) return { act: 'let go' }
  return { act: 'expire' }
}

function write(dice: Dice, who: number): Step {
  return { act: 'write', who, bare: dice.chance(0.3) }
}

function acquire(dice: Dice, who: number, openChance = 0.1): Step {
  return {
    act: 'acquire',
    who,
    ttlMs: dice.between(100, 300),
    seize: dice.chance(0.3),
    open: dice.chance(openChance),
  }
}

function kill(dice: Dice, who: number): Step {
  return { act: 'kill', who, session: dice.chance(0.6) ? 'work' : 'lease' }
}

function begin(dice: Dice, who: number): Step {
  return { act: 'begin', who, isolation: dice.pick(isolations), guarded: dice.chance(0.9) }
}

/** Mulberry32: small, and the same on every machine. */
export class Dice {
  #state: number

  constructor(seed: number, number = 0) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b)) >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}
