/** What a simulated process asks the database, and what it does next. */
import type pg from 'pg'
import { jittered, type Random } from '../../src/jitter.ts'
import type { Timing } from '../../src/timing.ts'
import type { FleetOptions } from './fleet-options.ts'
import type { FleetStatements, Granted, Renewed } from './fleet-statements.ts'
import { type FleetTally, lookIntervalMs } from './fleet-tally.ts'

/** A process that crashed is there again after that, and waits in line where others do. */
const RESTART_MS = 1000

/** Leases that belong together, the process that holds them, and the one that waits for them. All moments by performance.now(). */
export interface Service {
  readonly names: readonly string[]
  tokens: number[]
  session: string
  /** When the last renewal that was granted was sent. */
  sentAtMs: number
  expiresAtMs: number
  isUp: boolean
  /** A renewal has been sent and not been answered. */
  isBeating: boolean
  candidate: string
  isInLine: boolean
  /** So many processes have come after the first. */
  successors: number
}

/** What happens on a connection. */
export type Kind = 'beat' | 'takeover' | 'stand' | 'place' | 'look'

export interface Next {
  readonly kind: Kind
  readonly atMs: number
}

export interface WorkParts {
  readonly options: FleetOptions
  readonly timing: Timing
  readonly statements: FleetStatements
  readonly tally: FleetTally
  readonly random: Random
}

type Work = (session: pg.Client, service: Service, dueMs: number) => Promise<readonly Next[]>

export function nameOf(service: Service): string {
  return service.names[0] ?? ''
}

/** Each settles once it is answered, and says what is to happen to the service next. */
export function serviceWork(parts: WorkParts): Readonly<Record<Kind, Work>> {
  const { options, timing, statements, tally, random } = parts
  // As src/heartbeat.ts: only ever early.
  const nextBeatMs = () => performance.now() + timing.renewIntervalMs * (1 - 0.1 * random())
  const retryMs = () => performance.now() + jittered(timing.retryIntervalMs, random)

  const renew = (session: pg.Client, service: Service): Promise<Renewed> =>
    options.isBySession
      ? statements.renewSession(session, service.session)
      : statements.renewLeases(session, [...service.names], service.tokens)

  const acquire = (session: pg.Client, service: Service): Promise<Granted> => {
    if (options.following !== undefined) {
      return statements.acquireLease(session, nameOf(service), service.candidate, true)
    }
    const holder = `${nameOf(service)}:${service.successors + 1}`
    return options.isBySession || service.names.length > 1
      ? statements.acquireLeases(session, service.names, holder, options.isBySession)
      : statements.acquireLease(session, nameOf(service), holder, false)
  }

  return {
    async beat(session, service, dueMs) {
      const begunMs = performance.now()
      const { granted, expiresInMs } = await renew(session, service).finally(() => {
        service.isBeating = false
      })
      const answeredMs = performance.now()
      tally.beat({ dueMs, begunMs, answeredMs }, timing.queryTimeoutMs)
      if (granted === null) return service.isUp ? [{ kind: 'beat', atMs: retryMs() }] : [takeOver(service)]
      if (!granted) {
        if (service.isUp) tally.count('lost', service.names.length)
        service.isUp = false
        service.expiresAtMs = Math.min(service.expiresAtMs, answeredMs)
        return [takeOver(service)]
      }
      const deadlineMs = service.sentAtMs + timing.ttlMs - timing.safetyMarginMs
      if (answeredMs > deadlineMs) tally.count('lapsed', service.names.length)
      // The process has sent it when it was due: that it waited for a connection, it does not know.
      service.sentAtMs = dueMs
      service.expiresAtMs = answeredMs + expiresInMs
      return service.isUp ? [{ kind: 'beat', atMs: nextBeatMs() }] : [takeOver(service)]
    },

    async takeover(session, service, dueMs) {
      const granted = await acquire(session, service)
      if (granted.tokens === undefined) {
        const againMs = Math.max(retryMs(), performance.now() + granted.expiresInMs)
        return [{ kind: 'takeover', atMs: againMs }]
      }
      const answeredMs = performance.now()
      if (tally.isCounting) tally.takeoverMs.push(answeredMs - service.expiresAtMs)
      service.tokens = granted.tokens
      service.session = granted.session
      service.sentAtMs = dueMs
      service.expiresAtMs = answeredMs + granted.expiresInMs
      service.isUp = true
      service.isInLine = false
      service.successors += 1
      service.candidate = `${nameOf(service)}:${service.successors}`
      const beat: Next = { kind: 'beat', atMs: nextBeatMs() }
      return options.following === undefined
        ? [beat]
        : [beat, { kind: 'stand', atMs: performance.now() + RESTART_MS }]
    },

    async stand(session, service) {
      const { tokens } = await statements.acquireLease(session, nameOf(service), service.candidate, true)
      service.isInLine = tokens === undefined
      return []
    },

    async place(session, service) {
      if (service.isInLine) await statements.refreshCandidate(session, nameOf(service), service.candidate)
      return [{ kind: 'place', atMs: nextBeatMs() }]
    },

    async look(session, service) {
      if (service.isInLine) await statements.getCandidacy(session, nameOf(service), service.candidate)
      if (options.following !== 'poll') return []
      return [{ kind: 'look', atMs: performance.now() + jittered(lookIntervalMs(options), random) }]
    },
  }
}

function takeOver(service: Service): Next {
  return { kind: 'takeover', atMs: service.expiresAtMs }
}
