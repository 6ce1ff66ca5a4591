/**
 * What several contenders do and how the clock moves meanwhile, drawn from a seed. The rules in memory run along, so that tokens can be
 * named and moments of interest hit to the millisecond; what they expect is kept with each step.
 */
import { Dice } from '../../faults/guard/schedule.ts'
import { ShareRules } from './share-rules.ts'
import { type Answer, Refusal } from './tables.ts'
import { CallTime } from './time.ts'
import type { Command, Seen, State } from './virtual-database.ts'

/** One call, when it came, and what should come of it. */
export interface Step extends Command {
  /** For readers. */
  readonly title: string
  /** Time that has really passed since the schedule began, whatever the clock of the server was set to. */
  readonly elapsedMs: number
  /** How often the clock of the server was set forward until then. */
  readonly jumps: number
  readonly kind: Kind
  /** Who asks, and for what; empty where that says nothing. */
  readonly who: string
  readonly name: string
  readonly ttl: number | null
  /** By now everything that expires must be had. */
  readonly isLast: boolean
  readonly expected: Seen
}

export type Kind =
  | 'acquire'
  | 'renew'
  | 'renew many'
  | 'release'
  | 'transfer'
  | 'force'
  | 'prove'
  | 'swap'
  | 'swap version'
  | 'look'
  | 'leave'
  | 'refresh'
  | 'prune'
  | 'new epoch'
  | 'configure'
  | 'share'
  | 'capacity'
  /** Asks at the end, when all others have fallen silent. */
  | 'inherit'

const BEGIN_MS = Date.UTC(2030, 0, 1)
const HOUR_MS = 3_600_000
const STEPS = 26
const TTLS = [1_000, 2_000, 3_000, 5_000, 10_000] as const
const contenders = ['a', 'b', 'c', 'd'] as const

/** Columns of every answer about a lease. */
const COLUMNS =
  'granted, holder, token, version, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in, rank'

/** Draws schedule `number` of a seed. */
export function drawSchedule(seed: number, number: number): Step[] {
  return new Drawing(new Dice(seed, number)).draw()
}

class Drawing {
  readonly #dice: Dice
  readonly #rules = new ShareRules()
  readonly #steps: Step[] = []
  readonly #tokens = new Map<string, number[]>()
  #at = BEGIN_MS
  #elapsedMs = 0
  #jumps = 0
  /** The clock never goes back behind this: tokens of what was pruned could come again. */
  #floor = 0
  #longestTtl = 0
  /** How long a grace that was seen may last, from the last new epoch on. */
  #graceMs = 0
  #isLast = false

  constructor(dice: Dice) {
    this.#dice = dice
  }

  draw(): Step[] {
    const theme = this.#dice.below(10)
    const [act, moveTime] = [
      theme < 4
        ? () => this.#lease()
        : theme < 6
          ? () => this.#line()
          : theme < 7
            ? () => this.#register()
            : () => this.#share(),
      theme >= 4 && theme < 6 ? () => this.#linger() : () => this.#moveTime(),
    ]
    if (this.#dice.chance(0.3)) this.#configure()
    for (let step = 0; step < STEPS; step += 1) {
      moveTime()
      act()
    }
    this.#silence()
    return this.#steps
  }

  #moveTime(): void {
    const dice = this.#dice
    const roll = dice.below(100)
    if (roll < 58) this.#pass(dice.below(300))
    else if (roll < 78) this.#toMoment()
    else if (roll < 88) this.#pass(dice.below(3_000))
    else if (roll < 91) this.#pass(dice.between(10_000, 2 * HOUR_MS))
    else if (roll < 94) this.#set(dice.between(1, HOUR_MS))
    else this.#set(-dice.pick([dice.between(1, 3_000), dice.between(1, HOUR_MS)]))
  }

  /** Little time: those who wait are still there. */
  #linger(): void {
    if (this.#dice.chance(0.1)) this.#moveTime()
    else this.#pass(this.#dice.below(150))
  }

  #pass(ms: number): void {
    this.#at += ms
    this.#elapsedMs += ms
  }

  #set(byMs: number): void {
    const to = Math.max(this.#at + byMs, this.#floor)
    if (to > this.#at) this.#jumps += 1
    this.#at = to
  }

  /** To where something ends, or just before or after it. */
  #toMoment(): void {
    const { leases, places, epoch, settings } = this.#rules
    const moments = [...leases.values(), ...places.values()].map(({ expiresAt }) => expiresAt ?? 0)
    moments.push(epoch.firstSeenAt + settings.longestTtl)
    const next = moments.filter((moment) => moment > this.#at)
    const soon = next.length === 0 ? [this.#at + this.#dice.below(400)] : next
    const moment = this.#dice.pick(soon) + this.#dice.pick([-1, 0, 0, 1, 250, 251, 500, 501])
    this.#pass(Math.max(0, moment - this.#at))
  }

  #lease(): void {
    const roll = this.#dice.below(100)
    const name = this.#dice.chance(0.8) ? 'job' : 'task'
    const who = this.#dice.pick(contenders)
    if (roll < 32) this.#acquire(name, who)
    else if (roll < 44) this.#renew(name)
    else if (roll < 50) this.#renewMany()
    else if (roll < 62) this.#release(name)
    else if (roll < 69) this.#transfer(name, who)
    else if (roll < 71) this.#force(name)
    else if (roll < 79) this.#prove(name)
    else if (roll < 83) this.#leave(name, who)
    else if (roll < 92) this.#refresh(name, who)
    else if (roll < 95) this.#look(name)
    else if (roll < 98) this.#prune()
    else this.#newEpoch()
  }

  /** Many wait for one lease, which is handed from one to the next. */
  #line(): void {
    const roll = this.#dice.below(100)
    const who = this.#dice.pick(contenders)
    if (roll < 50) this.#acquire('job', who, 'acquire', 0.9)
    else if (roll < 75) this.#release('job')
    else if (roll < 82) this.#transfer('job', who)
    else if (roll < 89) this.#refresh('job', who)
    else if (roll < 93) this.#leave('job', who)
    else if (roll < 97) this.#renew('job')
    else if (roll < 99) this.#newEpoch()
    else this.#force('job')
  }

  #register(): void {
    const roll = this.#dice.below(100)
    if (roll < 55) this.#swap()
    else if (roll < 75) this.#swapVersion()
    else if (roll < 82) this.#look('key')
    else if (roll < 86) this.#force('key')
    else if (roll < 90) this.#prove('key')
    else if (roll < 94) this.#prune()
    else if (roll < 97) this.#newEpoch()
    else this.#renew('key')
  }

  #share(): void {
    const roll = this.#dice.below(100)
    const name = this.#dice.chance(0.5) ? 'pool' : 'lock'
    const who = this.#dice.pick(contenders)
    const held = [...this.#rules.leases.values()].filter(({ partOf }) => partOf === name)
    const grant = held.length > 0 && this.#dice.chance(0.85) ? this.#dice.pick(held).name : `${name}#1`
    if (roll < 45) this.#acquireShare(name, who)
    else if (roll < 60) this.#release(grant)
    else if (roll < 68) this.#renew(grant)
    else if (roll < 73) this.#renewMany()
    else if (roll < 78) this.#prove(grant)
    else if (roll < 83) this.#leave(name, who)
    else if (roll < 91) this.#refresh(name, who)
    else if (roll < 93) this.#capacity(name)
    else if (roll < 95) this.#prune()
    else if (roll < 97) this.#newEpoch()
    else if (roll < 98) this.#transfer(grant, who)
    else this.#force(grant)
  }

  #acquire(name: string, who: string, kind: Kind = 'acquire', waitChance = 0.6): void {
    const dice = this.#dice
    const isLast = kind === 'inherit'
    const ttl = this.#ttl()
    const wait = !isLast && dice.chance(waitChance)
    const priority = isLast ? 0 : dice.chance(0.04) ? null : dice.pick([0, 0, 0, 1, 2])
    const asked = { name, holder: who, ttl, wait, priority }
    const sql = `SELECT ${COLUMNS} FROM elect.acquire_lease('${name}', '${who}', '${ttl} milliseconds', null, ${wait}, ${priority})`
    this.#step({ kind, who, name, ttl, waits: !isLast }, sql, (time) => [this.#rules.acquire(time, asked)])
  }

  #renew(name: string): void {
    const token = this.#token(name)
    const ttl = this.#dice.chance(0.3) ? this.#ttl() : null
    const sql = `SELECT ${COLUMNS} FROM elect.renew_lease('${name}', ${token}, ${inMs(ttl)})`
    const who = this.#holderOf(name, token)
    this.#step({ kind: 'renew', who, name, ttl, waits: true }, sql, (time) => [
      this.#rules.renew(time, name, token, ttl),
    ])
  }

  #renewMany(): void {
    const all = [...this.#rules.leases.keys()]
    const names = all.filter(() => this.#dice.chance(0.7))
    const grants = names.map((name) => ({ name, token: this.#token(name) }))
    const array = names.map((name) => `'${name}'`).join()
    const tokens = grants.map(({ token }) => token).join()
    const sql = `SELECT name, granted, holder, token, version, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in FROM elect.renew_leases(ARRAY[${array}]::text[], ARRAY[${tokens}]::bigint[])`
    // No wait: it gives up after 10 ms, and whether it reads the clock before or after those is the planner's choice.
    this.#step({ kind: 'renew many' }, sql, (time) => this.#rules.renewMany(time, grants))
  }

  #release(name: string): void {
    const token = this.#token(name)
    // What follows the release of a share takes more locks, of which only the first could be waited for here.
    const waits = !name.includes('#')
    const who = this.#holderOf(name, token)
    this.#step(
      { kind: 'release', who, name, waits },
      `SELECT elect.release_lease('${name}', ${token}) AS released`,
      (time) => [{ released: this.#rules.release(time, name, token) }],
    )
  }

  #transfer(name: string, to: string): void {
    const token = this.#token(name)
    const successor = this.#dice.chance(0.7) ? to : null
    const mustWait = this.#dice.chance(0.4)
    const sql = `SELECT ${COLUMNS} FROM elect.transfer_lease('${name}', ${token}, ${quoted(successor)}, ${mustWait})`
    const who = this.#holderOf(name, token)
    this.#step({ kind: 'transfer', who, name, waits: true }, sql, (time) => [
      this.#rules.transfer(time, name, token, successor, mustWait),
    ])
  }

  #force(name: string): void {
    this.#step(
      { kind: 'force', name, waits: true },
      `SELECT elect.force_release('${name}', 'drill') AS released`,
      (time) => [{ released: this.#rules.force(time, name) }],
    )
  }

  #prove(name: string): void {
    const token = this.#token(name)
    const sql = `SELECT true AS proved FROM elect.assert_lease('${name}', ${token}, '24 hours')`
    this.#step({ kind: 'prove', name, waits: true }, sql, (time) => {
      this.#rules.prove(time, name, token)
      return [{ proved: true }]
    })
  }

  #leave(name: string, who: string): void {
    const sql = `SELECT ${COLUMNS} FROM elect.leave_queue('${name}', '${who}')`
    this.#step({ kind: 'leave', who, name }, sql, (time) => [this.#rules.leave(time, name, who)])
  }

  #refresh(name: string, who: string): void {
    const sql = `SELECT ${COLUMNS} FROM elect.refresh_candidates(ARRAY['${name}'], ARRAY['${who}'])`
    this.#step({ kind: 'refresh', who, name }, sql, (time) => [this.#rules.refresh(time.now, name, who)])
  }

  #look(name: string): void {
    const sql = `SELECT holder, token, version, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in, in_grace FROM elect.get_lease('${name}')`
    this.#step({ kind: 'look', name }, sql, (time) => {
      const seen = this.#rules.look(time.now, name)
      return seen === undefined ? [] : [seen]
    })
  }

  #prune(): void {
    const olderThan = 2 * HOUR_MS
    this.#floor = Math.max(this.#floor, this.#at - olderThan)
    this.#step({ kind: 'prune' }, `SELECT elect.prune_leases('2 hours') AS pruned`, (time) => [
      { pruned: this.#rules.prune(time.now, olderThan) },
    ])
  }

  #newEpoch(): void {
    const { longestTtl } = this.#rules.settings
    this.#graceMs = Math.max(longestTtl, ...TTLS)
    this.#step({ kind: 'new epoch' }, `SELECT elect.new_epoch('drill') AS epoch`, (time) => [
      { epoch: this.#rules.newEpoch(time.now) },
    ])
  }

  #configure(): void {
    const longestTtl = this.#dice.pick(TTLS)
    const grace = this.#dice.chance(0.9)
    const sql = `SELECT true AS configured FROM elect.configure('${longestTtl} milliseconds', ${grace})`
    this.#step({ kind: 'configure' }, sql, () => {
      this.#rules.settings = { longestTtl, grace }
      return [{ configured: true }]
    })
  }

  #swap(): void {
    const dice = this.#dice
    const stored = this.#rules.leases.get('key')?.holder ?? null
    const values = [null, ...contenders]
    const current = dice.chance(0.6) ? stored : dice.pick(values)
    const next = dice.pick(values)
    const ttl = dice.chance(0.5) ? this.#ttl() : null
    const sql = `SELECT elect.compare_and_swap('key', ${quoted(next)}, ${quoted(current)}, ${inMs(ttl)}) AS swapped`
    this.#step({ kind: 'swap', name: 'key', ttl, waits: true }, sql, (time) => [
      { swapped: this.#rules.swap(time, 'key', next, current, ttl) },
    ])
  }

  #swapVersion(): void {
    const dice = this.#dice
    const stored = this.#rules.leases.get('key')?.version ?? 0
    const version = dice.chance(0.7) ? stored : dice.pick([0, Math.max(0, stored - 1), stored + 1])
    const next = dice.pick([null, ...contenders])
    const ttl = dice.chance(0.5) ? this.#ttl() : null
    const sql = `SELECT elect.compare_and_swap_version('key', ${quoted(next)}, ${version}, ${inMs(ttl)}) AS version`
    this.#step({ kind: 'swap version', name: 'key', ttl, waits: true }, sql, (time) => [
      { version: this.#rules.swapVersion(time, 'key', next, version, ttl) },
    ])
  }

  #acquireShare(name: string, who: string): void {
    const dice = this.#dice
    const isExclusive = name === 'lock' && dice.chance(0.35)
    const capacity = name === 'pool' ? 2 : null
    const ttl = this.#ttl()
    const wait = dice.chance(0.6)
    const priority = dice.pick([0, 0, 0, 1, 2])
    const sql = `SELECT ${COLUMNS} FROM elect.acquire_share('${name}', '${who}', ${isExclusive}, ${capacity}, '${ttl} milliseconds', null, ${wait}, ${priority})`
    const asked = { name, holder: who, isExclusive, capacity, ttl, wait, priority }
    this.#step({ kind: 'share', who, name, ttl }, sql, (time) => [this.#rules.acquireShare(time, asked)])
  }

  #capacity(name: string): void {
    const capacity = this.#dice.pick([null, 0, 1, 2, 3])
    const sql = `SELECT true AS set FROM elect.set_capacity('${name}', ${capacity})`
    this.#step({ kind: 'capacity', name }, sql, (time) => {
      this.#rules.setCapacity(time.now, name, capacity)
      return [{ set: true }]
    })
  }

  /** Nobody renews any more, and the clock is left alone: within two TTLs whoever asks is granted everything that expires. */
  #silence(): void {
    const ttl = Math.max(this.#longestTtl, ...TTLS)
    const names = [...this.#rules.leases.values()]
      .filter(({ partOf }) => partOf === null)
      .map(({ name }) => name)
    for (const waitMs of [0, ttl + 1_001, ttl - 1_001 + this.#graceMs]) {
      this.#pass(waitMs)
      this.#isLast = waitMs === ttl - 1_001 + this.#graceMs
      for (const name of names) this.#acquire(name, 'heir', 'inherit')
    }
  }

  #ttl(): number {
    const ttl = this.#dice.pick(TTLS)
    this.#longestTtl = Math.max(this.#longestTtl, ttl)
    return ttl
  }

  /** Usually the token of the day; else an old one, or one that never was. */
  #token(name: string): number {
    const current = this.#rules.leases.get(name)?.token
    const roll = this.#dice.below(100)
    if (roll < 78 && current !== undefined) return current
    const old = this.#tokens.get(name) ?? []
    if (roll < 94 && old.length > 0) return this.#dice.pick(old)
    return (current ?? 1) + 1
  }

  #holderOf(name: string, token: number): string {
    const lease = this.#rules.leases.get(name)
    return lease?.token === token ? (lease.holder ?? '') : ''
  }

  #step(
    about: { kind: Kind; who?: string; name?: string; ttl?: number | null; waits?: boolean },
    sql: string,
    expect: (time: CallTime) => Answer[],
  ): void {
    const { kind, who = '', name = '', ttl = null, waits = false } = about
    const waitMs = waits && this.#dice.chance(0.12) ? this.#wait(name) : 0
    const time = new CallTime(this.#at, waitMs)
    const before = snapshot(this.#rules)
    let answer: Seen['answer']
    try {
      answer = expect(time).map((row) => ({ ...row }))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      restore(this.#rules, before)
      answer = error.sqlstate
    }
    const expected = { answer, state: stateOf(this.#rules) }
    const elapsedMs = this.#elapsedMs
    const call = sql.slice(sql.indexOf('elect.'))
    const wait = waitMs > 0 ? `, waits ${waitMs} ms` : ''
    const title = `${elapsedMs} ms, server ${new Date(this.#at).toISOString()}${wait}: ${call}`
    this.#steps.push({
      at: this.#at,
      waitMs,
      sql,
      title,
      elapsedMs,
      jumps: this.#jumps,
      kind,
      who,
      name,
      ttl,
      isLast: this.#isLast,
      expected,
    })
    this.#pass(time.now - this.#at)
    for (const { name: lease, token } of this.#rules.leases.values()) {
      const tokens = this.#tokens.get(lease) ?? []
      if (!tokens.includes(token)) this.#tokens.set(lease, [...tokens, token])
    }
  }

  /** Often to where the lease runs out. */
  #wait(name: string): number {
    const left = (this.#rules.leases.get(name)?.expiresAt ?? 0) - this.#at
    const near = left > 1 && left < 20_000 ? [left - 1, left, left + 1] : [1]
    return this.#dice.pick([...near, this.#dice.between(1, 900)])
  }
}

function inMs(ttl: number | null): string {
  return ttl === null ? 'null' : `'${ttl} milliseconds'`
}

function quoted(text: string | null): string {
  return text === null ? 'null' : `'${text}'`
}

/** As the database shows its tables. */
function stateOf(rules: ShareRules): State {
  const leases = [...rules.leases.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
  const places = [...rules.places.values()].sort(
    (one, other) =>
      (one.line < other.line ? -1 : one.line > other.line ? 1 : 0) ||
      other.priority - one.priority ||
      one.arrival - other.arrival,
  )
  const shared = [...rules.shared.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
  return {
    leases: leases.map((l) => [
      l.name,
      l.holder,
      l.token,
      l.version,
      l.epoch,
      l.renewedAt,
      l.expiresAt,
      l.ttl,
      l.partOf,
    ]),
    places: places.map((c) => [c.line, c.candidate, c.priority, c.isExclusive, c.ttl, c.seenAt, c.expiresAt]),
    shared: shared.map((s) => [s.name, s.capacity, s.token, s.exclusiveToken, s.writtenAt]),
  }
}

/** All but the epoch, which stands in sequences: what a refused call has seen of it stays seen. */
function snapshot({ leases, places, shared }: ShareRules) {
  return structuredClone({ leases, places, shared })
}

function restore(rules: ShareRules, { leases, places, shared }: ReturnType<typeof snapshot>): void {
  for (const [now, before] of [
    [rules.leases, leases],
    [rules.places, places],
    [rules.shared, shared],
  ] as [Map<string, unknown>, Map<string, unknown>][]) {
    now.clear()
    for (const [key, value] of before) now.set(key, value)
  }
}
