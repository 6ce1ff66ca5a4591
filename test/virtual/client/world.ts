/**
 * Several processes, a network and a server, in a time that only passes here. Each process runs the client as it is (`src/`) on clocks of
 * its own, which can be stopped, suspended, set, and go a little wrong; what it asks travels, and can be late or lost either way.
 */
import type { Election, Leadership } from '../../../src/election.ts'
import { ConnectionError } from '../../../src/errors.ts'
import { StubClock } from '../../unit/support/stub-clock.ts'
import { StubProcess } from '../../unit/support/stub-process.ts'
import type { Dice } from '../../faults/guard/schedule.ts'
import { EventQueue } from './event-queue.ts'
import { Server } from './server.ts'

/** What a process is doing: all clocks go on while it is stopped, the monotonic one does not while it is suspended. */
export type Mode = 'running' | 'stopped' | 'suspended' | 'dead'

/** The line between one process and the server. */
export interface Wire {
  /** Nothing gets through, and nothing tells of it. */
  up: boolean
  down: boolean
  /** Connecting is refused at once. */
  refuses: boolean
  /** How long a packet takes, at most. */
  delayMsMax: number
  /** How many answers of a hundred are lost. */
  lostAnswers: number
}

export const calm: Readonly<Wire> = { up: true, down: true, refuses: false, delayMsMax: 3, lostAnswers: 0 }

/** One process of the application. */
export class Member {
  readonly label: string
  readonly process: StubProcess
  readonly election: Election
  /** How fast its clocks go. */
  readonly rate: number
  readonly priority: number
  mode: Mode = 'running'
  wire: Wire = { ...calm }
  leadership: Leadership | undefined
  /** How often it has led. */
  terms = 0
  /** Its clocks were moved apart during this term: its timers may be late. */
  isAstray = false
  /** What came while it could not take it. */
  readonly inbox: (() => void)[] = []
  /** What waits for an answer: fails if the connection does. */
  readonly open = new Set<() => void>()
  servedAtMs = 0
  answeredAtMs = 0

  constructor(label: string, process: StubProcess, rate: number, priority: number) {
    this.label = label
    this.process = process
    this.rate = rate
    this.priority = priority
    this.election = process.election('job', { priority })
    this.election.on('elected', (leadership) => {
      this.leadership = leadership
      this.terms += 1
      this.isAstray = false
    })
  }

  /** Whether it acts as the leader if it looks at this moment. Without letting it notice anything by that. */
  get leads(): boolean {
    const { leadership } = this
    if (this.mode !== 'running') return false
    return leadership !== undefined && leadership.remainingMs > 0 && leadership.isHeld
  }
}

/** LISTEN and its like: the connection's own limit, which is that of connecting. */
const NO_TIMEOUT_MS = 5_000

export interface WorldOptions {
  readonly ttlMs: number
  readonly traced: boolean
  /** One row keeps the leases of each process. */
  readonly hasSessions: boolean
}

export class World {
  readonly members: Member[] = []
  readonly server: Server
  readonly serverClock: StubClock
  readonly trace: string[] = []
  /** Real time. */
  nowMs = 0
  readonly #dice: Dice
  readonly #options: WorldOptions
  readonly #events = new EventQueue()

  constructor(dice: Dice, options: WorldOptions) {
    this.#dice = dice
    this.#options = options
    this.serverClock = new StubClock()
    this.serverClock.trueMs = Date.UTC(2030, 0, 1)
    this.server = new Server(this.serverClock)
    this.server.rules.settings.longestTtl = options.ttlMs
  }

  /** A process that stands for election until the world ends. */
  join(priority: number, rate: number): Member {
    const label = `p${this.members.length + 1}`
    const clock = new StubClock()
    const { ttlMs, hasSessions } = this.#options
    const process = new StubProcess({
      clock,
      model: this.server,
      ttlMs,
      session: hasSessions,
      random: () => this.#dice.next(),
      drainTimeoutMs: ttlMs,
    })
    // The name of each contender has a random part; for the trace it is known by its label.
    Object.assign(process.context, { holderLabel: label })
    const member = new Member(label, process, rate, priority)
    this.members.push(member)
    process.database.network = (serve) => this.#travel(member, serve)
    this.#delayNotifications(member)
    this.#lead(member)
    return member
  }

  /** Has something happen at a moment. */
  at(atMs: number, run: () => void): void {
    this.#events.add(atMs, run)
  }

  /** Lets time pass, and calls back after whatever happened. */
  async run(untilMs: number, check: () => void): Promise<void> {
    await settle()
    for (;;) {
      const { member, atMs } = this.#nextTimer()
      const eventAtMs = this.#events.nextAtMs
      const nextMs = Math.min(atMs, eventAtMs)
      if (nextMs > untilMs) break
      this.#pass(Math.max(0, nextMs - this.nowMs))
      if (eventAtMs <= atMs) {
        this.#events.take()()
        await settle()
      } else if (member !== undefined) {
        // Its own clock may be a rounding error short of the moment.
        const { clock } = member.process
        await clock.advance(Math.max(0, clock.nextDelayMs))
      }
      check()
    }
    this.#pass(untilMs - this.nowMs)
  }

  /** A process stops, or goes on with all that it has missed. */
  setMode(member: Member, mode: Mode): void {
    if (member.mode === 'dead') return
    member.mode = mode
    if (mode === 'suspended') member.isAstray = true
    if (mode !== 'running') return
    for (const deliver of member.inbox.splice(0)) deliver()
  }

  /** Its connection breaks, and both know. */
  disconnect(member: Member): void {
    this.#deliver(member, () => {
      // What is still on its way in the old one does not hold up the new one.
      member.servedAtMs = 0
      member.answeredAtMs = 0
      for (const fail of [...member.open]) fail()
      member.process.database.emit('lost')
    })
  }

  tell(what: () => string): void {
    if (this.#options.traced) this.trace.push(`${this.nowMs.toFixed(3)} ms: ${what()}`)
  }

  #lead(member: Member): void {
    const { election, process } = member
    const work = (leadership: Leadership) => {
      this.tell(() => `${member.label} leads, token ${leadership.token}`)
      return new Promise<void>((resolve) => {
        const stop = () => void process.clock.setTimer(resolve, this.#dice.below(30))
        if (leadership.signal.aborted) stop()
        else leadership.signal.addEventListener('abort', stop, { once: true })
      })
    }
    election.lead(work).catch(() => this.tell(() => `${member.label} leads no more`))
  }

  #travel(member: Member, serve: () => Promise<readonly object[]>): Promise<readonly object[]> {
    const { wire } = member
    return new Promise((resolve, reject) => {
      const call = member.process.database.calls.at(-1)
      // A connection on which something stays unanswered is given up.
      const timer = member.process.clock.setTimer(
        () => this.disconnect(member),
        call?.timeoutMs ?? NO_TIMEOUT_MS,
      )
      const settled = () => {
        timer.cancel()
        member.open.delete(torn)
      }
      const fail = (why: string) => {
        settled()
        reject(new ConnectionError(why))
      }
      const torn = () => fail('The connection was lost')
      member.open.add(torn)
      if (wire.refuses) {
        this.at(this.nowMs + this.#dice.below(10), () => this.#deliver(member, () => fail('Refused')))
        return
      }
      if (!wire.up) {
        this.tell(() => `${member.label} ${call?.name} gets lost`)
        return
      }
      // One connection: what was asked first is served first.
      member.servedAtMs = Math.max(member.servedAtMs, this.nowMs + this.#delay(wire))
      this.at(member.servedAtMs, () => {
        this.tell(() => `${member.label} ${call?.name} is served`)
        serve().then(
          (rows) =>
            this.#answer(
              member,
              call?.name ?? '',
              () => {
                settled()
                resolve(rows)
              },
              rows,
            ),
          (error: unknown) => {
            settled()
            reject(error)
          },
        )
      })
    })
  }

  #answer(member: Member, name: string, arrive: () => void, rows: readonly object[]): void {
    const { wire } = member
    const isLost = !wire.down || this.#dice.below(100) < wire.lostAnswers
    this.tell(
      () =>
        `${member.label} ${name} answers ${withoutChance(JSON.stringify(rows))}${isLost ? ', which gets lost' : ''}`,
    )
    if (isLost) return
    member.answeredAtMs = Math.max(member.answeredAtMs, this.nowMs + this.#delay(wire))
    this.at(member.answeredAtMs, () => this.#deliver(member, arrive))
  }

  #delayNotifications(member: Member): void {
    const { database } = member.process
    const emit = database.emit.bind(database) as (...event: unknown[]) => boolean
    database.emit = ((...event: unknown[]) => {
      if (event[0] !== 'notified') return emit(...event)
      if (!member.wire.down || member.mode === 'dead') return false
      member.answeredAtMs = Math.max(member.answeredAtMs, this.nowMs + this.#delay(member.wire))
      this.at(member.answeredAtMs, () => this.#deliver(member, () => emit(...event)))
      return true
    }) as never
  }

  #deliver(member: Member, take: () => void): void {
    if (member.mode === 'running') take()
    else if (member.mode !== 'dead') member.inbox.push(take)
  }

  #delay({ delayMsMax }: Wire): number {
    return this.#dice.next() * delayMsMax
  }

  #pass(ms: number): void {
    this.nowMs += ms
    this.serverClock.trueMs += ms
    for (const { mode, process, rate } of this.members) {
      if (mode === 'suspended') process.clock.suspend(ms * rate)
      else process.clock.pass(ms * rate)
    }
  }

  #nextTimer(): { member?: Member; atMs: number } {
    let next: { member?: Member; atMs: number } = { atMs: Number.POSITIVE_INFINITY }
    for (const member of this.members) {
      if (member.mode !== 'running') continue
      const delayMs = member.process.clock.nextDelayMs
      const atMs = this.nowMs + Math.max(0, delayMs / member.rate)
      if (atMs < next.atMs) next = { member, atMs }
    }
    return next
  }
}

/** Lets all that needs no more time than this instant run to its end. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Names of contenders end with a part that is new each time. */
function withoutChance(text: string): string {
  return text.replaceAll(/(p\d+):[\w-]+/g, '$1')
}
