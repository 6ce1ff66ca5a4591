/**
 * A simulated fleet: very many processes that hold leases, beat, crash and are succeeded, in real time. Simulated are the processes and when
 * they ask; the statements, the connections they go over, and the server are real.
 */
import type pg from 'pg'
import type { Connections } from './connections.ts'
import type { Population } from './population.ts'
import { Schedule } from './schedule.ts'
import { type Kind, nameOf, type Next, type Service, serviceWork, type WorkParts } from './service-work.ts'
import { lookIntervalMs } from './fleet-tally.ts'

interface Event {
  readonly kind: Kind | 'crash'
  readonly service: Service
  /** Of the holder, when it was planned: what a crash or a herd has made void is passed over. */
  readonly plan: number
}

export interface FleetParts extends WorkParts {
  readonly population: Population
  readonly connections: Connections
  /** Until when the leases last, by performance.now(). */
  readonly heldUntilMs: number
}

export class Fleet {
  readonly #parts: FleetParts
  readonly #work: ReturnType<typeof serviceWork>
  readonly #schedule = new Schedule<Event>()
  readonly #services: readonly Service[]
  readonly #byName = new Map<string, Service>()
  readonly #plans = new Map<Service, number>()
  #timer: NodeJS.Timeout | undefined
  /** When that comes; infinitely long ago: it has come, and sets itself anew. */
  #timerAtMs = Number.POSITIVE_INFINITY
  #isStopped = false

  constructor(parts: FleetParts) {
    const { options, population, heldUntilMs } = parts
    this.#parts = parts
    this.#work = serviceWork(parts)
    this.#services = Array.from({ length: options.processes }, (_, process) => ({
      names: Array.from({ length: options.leases }, (_, lease) => population.name(process, lease)),
      tokens: Array.from({ length: options.leases }, (_, lease) => population.token(process, lease)),
      session: population.session(process),
      sentAtMs: heldUntilMs - options.ttlMs,
      expiresAtMs: heldUntilMs,
      isUp: true,
      isBeating: false,
      candidate: `standby-${process}`,
      isInLine: false,
      successors: 0,
    }))
    for (const service of this.#services) this.#byName.set(nameOf(service), service)
  }

  /** Has all candidates stand in line, and those connections listen to the leases, shared out among them. */
  async gather(listeners: readonly pg.Client[]): Promise<void> {
    const { connections } = this.#parts
    for (const service of this.#services) {
      connections.submit(async (session) => void (await this.#work.stand(session, service, 0)))
    }
    await connections.idle()
    for (const [index, listener] of listeners.entries()) {
      listener.on('notification', ({ payload = '' }) => this.#told(payload))
      const names = this.#services.filter((_, place) => place % listeners.length === index).map(nameOf)
      await listener.query('SELECT count(*) FROM elect.listen(names => $1)', [names])
    }
  }

  /** Has all of them beat from now on, each at first at any time within one interval. */
  start(): void {
    const { random, options, timing } = this.#parts
    const nowMs = performance.now()
    for (const service of this.#services) {
      this.#add(service, { kind: 'beat', atMs: nowMs + random() * timing.renewIntervalMs })
      if (options.following === undefined) continue
      this.#add(service, { kind: 'place', atMs: nowMs + random() * timing.renewIntervalMs })
      if (options.following === 'poll') {
        this.#add(service, { kind: 'look', atMs: nowMs + random() * lookIntervalMs(options) })
      }
    }
  }

  /** So many processes crash, each at any time within that span from now on. */
  crash(many: number, withinMs: number): void {
    const { random } = this.#parts
    const nowMs = performance.now()
    for (let i = 0; i < many; i++) {
      const victim = this.#services[Math.floor(random() * this.#services.length)]
      if (victim !== undefined) this.#add(victim, { kind: 'crash', atMs: nowMs + random() * withinMs })
    }
  }

  /** As when the server was gone for a moment: all renew within one retry interval. */
  herd(): void {
    const { random, timing } = this.#parts
    const nowMs = performance.now()
    for (const service of this.#services) {
      if (!service.isUp || service.isBeating) continue
      this.#replan(service)
      this.#add(service, { kind: 'beat', atMs: nowMs + random() * timing.retryIntervalMs })
    }
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #planOf(service: Service): number {
    return this.#plans.get(service) ?? 0
  }

  #replan(service: Service): void {
    this.#plans.set(service, this.#planOf(service) + 1)
  }

  #add(service: Service, { kind, atMs }: Next | { kind: 'crash'; atMs: number }): void {
    this.#schedule.add(atMs, { kind, service, plan: this.#planOf(service) })
    if (atMs < this.#timerAtMs) this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    this.#timerAtMs = this.#schedule.nextAtMs
    if (this.#isStopped || this.#schedule.size === 0) return
    this.#timer = setTimeout(() => this.#fire(), Math.max(0, this.#timerAtMs - performance.now()))
  }

  #fire(): void {
    const nowMs = performance.now()
    this.#timerAtMs = Number.NEGATIVE_INFINITY
    for (let due = this.#schedule.take(nowMs); due !== undefined; due = this.#schedule.take(nowMs)) {
      this.#happen(due.item, due.atMs)
    }
    this.#arm()
  }

  #happen({ kind, service, plan }: Event, dueMs: number): void {
    if (kind === 'crash') this.#crashed(service)
    else if ((kind !== 'beat' && kind !== 'takeover') || plan === this.#planOf(service)) {
      if (kind === 'beat') service.isBeating = true
      this.#submit(kind, service, dueMs)
    }
  }

  #submit(kind: Kind, service: Service, dueMs: number): void {
    const { connections, tally, timing } = this.#parts
    connections.submit(async (session) => {
      if (this.#isStopped) return
      const again: Next = { kind, atMs: performance.now() + timing.retryIntervalMs }
      const next = await this.#work[kind](session, service, dueMs).catch(() => {
        tally.count('failed')
        return [again]
      })
      for (const one of next) this.#add(service, one)
    })
  }

  #crashed(service: Service): void {
    if (!service.isUp) return
    service.isUp = false
    this.#replan(service)
    this.#parts.tally.count('crashes')
    // What it has sent is answered, and counts, though nobody hears it.
    if (!service.isBeating) this.#add(service, { kind: 'takeover', atMs: service.expiresAtMs })
  }

  #told(payload: string): void {
    const { name = '' } = JSON.parse(payload) as { name?: string }
    const service = this.#byName.get(name)
    if (service?.isInLine) this.#add(service, { kind: 'look', atMs: performance.now() })
  }
}
