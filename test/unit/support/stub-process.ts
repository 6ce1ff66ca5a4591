import { Election, type ElectionContext } from '../../../src/election.ts'
import { Heartbeat } from '../../../src/heartbeat.ts'
import type { LeaseRequest } from '../../../src/holding.ts'
import type { Random } from '../../../src/jitter.ts'
import { Lease } from '../../../src/lease.ts'
import { LeaseCalls } from '../../../src/lease-calls.ts'
import { Line } from '../../../src/line.ts'
import { Notifier } from '../../../src/notifier.ts'
import type { ResolvedElectionOptions } from '../../../src/options.ts'
import { requestLease } from '../../../src/request.ts'
import { SessionKeeper } from '../../../src/session-keeper.ts'
import { SpareSessions } from '../../../src/spare-sessions.ts'
import { resolveTiming, type Timing, type TimingOptions } from '../../../src/timing.ts'
import { ModelLeases } from './model-leases.ts'
import { RecordingLog } from './recording-log.ts'
import { ScriptedDatabase } from './scripted-database.ts'
import { StubClock } from './stub-clock.ts'

interface StubProcessOptions extends TimingOptions {
  clock?: StubClock
  model?: ModelLeases
  random?: Random
  drainTimeoutMs?: number
  /** Its session is one that a pooler lends to others, too. */
  isBehindPooler?: boolean
  /** It has a connection for LISTEN alone. */
  listensElsewhere?: boolean
  /** One row keeps its leases. */
  session?: boolean
}

/** One process of an application: all that a client puts together, on a stubbed clock and a scripted connection. */
export class StubProcess {
  readonly clock: StubClock
  readonly model: ModelLeases
  readonly database: ScriptedDatabase
  readonly log = new RecordingLog()
  readonly closing = new AbortController()
  readonly context: ElectionContext
  readonly timing: Timing
  readonly heartbeat: Heartbeat
  /** What keeps its leases by one row, if it does. */
  readonly keeper: SessionKeeper | undefined
  /** The connection that listens: the same one, unless it listens elsewhere. */
  readonly ears: ScriptedDatabase
  /** The process id of its session, as the server knows it: another one after each loss. */
  backend: number

  constructor(options: StubProcessOptions = {}) {
    const { clock = new StubClock(), random = () => 0.5, drainTimeoutMs = 1000, model, ...others } = options
    const { isBehindPooler = false, listensElsewhere = false, session = false, ...timing } = others
    this.clock = clock
    this.model = model ?? new ModelLeases(clock)
    this.backend = this.model.connect()
    this.database = new ScriptedDatabase(
      clock,
      this.model.answers(() => this.backend),
    )
    this.database.on('lost', () => {
      this.backend = this.model.connect()
    })
    this.timing = resolveTiming(timing)
    const { logger } = this.log
    const parts = { clock, random, logger }
    this.heartbeat = new Heartbeat({ executor: this.database, ...parts })
    const kept = { executor: this.database, ...parts, timing: this.timing, holderLabel: 'stub' }
    this.keeper = session ? new SessionKeeper({ ...kept, heartbeat: this.heartbeat }) : undefined
    this.database.on('lost', () => {
      this.heartbeat.hurry()
      this.keeper?.hurry()
    })
    const { retryIntervalMs } = this.timing
    this.ears = listensElsewhere ? this.#openEars() : this.database
    this.database.isBehindPooler = isBehindPooler
    const notifier = new Notifier(this.ears, {
      ...parts,
      retryIntervalMs,
      pollIntervalMs: 1000,
      isSeparate: listensElsewhere,
    })
    this.context = {
      ...parts,
      executor: this.database,
      calls: new LeaseCalls({
        executor: this.database,
        clock,
        isLockedHere: () => false,
        session: () => this.keeper?.session,
      }),
      heartbeat: this.heartbeat,
      keeper: this.keeper,
      notifier,
      line: new Line(this.heartbeat, notifier),
      sessions: new SpareSessions(() => {
        throw new Error('this process has no connection to spare')
      }),
      held: new Set(),
      pending: new Set(),
      isLockedHere: () => false,
      closing: this.closing.signal,
      holderLabel: undefined,
      drainTimeoutMs,
    }
    // What a session behind a pooler would hear goes to whoever has it at the time.
    if (this.ears !== this.database || !isBehindPooler) {
      this.model.onTold((channel, message) => this.ears.emit('notified', channel, message))
    }
  }

  #openEars(): ScriptedDatabase {
    let backend = this.model.connect()
    const ears = new ScriptedDatabase(
      this.clock,
      this.model.answers(() => backend),
    )
    ears.on('lost', () => {
      backend = this.model.connect()
    })
    return ears
  }

  request(name = 'job', holder = 'me', priority = 0): LeaseRequest {
    return { name, holder, metadata: undefined, timing: this.timing, priority, share: undefined }
  }

  election(name = 'job', options: Partial<ResolvedElectionOptions> = {}): Election {
    const resolved = { timing: this.timing, metadata: undefined, priority: 0, takeover: 'expiry' as const }
    return new Election(this.context, name, { ...resolved, ...options })
  }

  /** A lease that is granted at once. */
  async lease(name = 'job', holder = 'me'): Promise<Lease> {
    const outcome = await requestLease(this.context, this.request(name, holder))
    if (outcome instanceof Lease) return outcome
    throw new Error(`expected a lease, was refused: ${outcome.holder}`)
  }
}
