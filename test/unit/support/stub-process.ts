import { Election, type ElectionContext } from '../../../src/election.ts'
import { Heartbeat } from '../../../src/heartbeat.ts'
import type { LeaseRequest } from '../../../src/holding.ts'
import type { Random } from '../../../src/jitter.ts'
import { Lease, requestLease } from '../../../src/lease.ts'
import { Notifier } from '../../../src/notifier.ts'
import type { Metadata } from '../../../src/queries.ts'
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

  constructor(options: StubProcessOptions = {}) {
    const { clock = new StubClock(), random = () => 0.5, drainTimeoutMs = 1000, model, ...timing } = options
    this.clock = clock
    this.model = model ?? new ModelLeases(clock)
    this.database = new ScriptedDatabase(clock, this.model.answers())
    this.timing = resolveTiming(timing)
    const { logger } = this.log
    const parts = { clock, random, logger }
    this.heartbeat = new Heartbeat({ executor: this.database, ...parts })
    this.database.on('lost', () => this.heartbeat.hurry())
    const { retryIntervalMs } = this.timing
    this.context = {
      ...parts,
      executor: this.database,
      heartbeat: this.heartbeat,
      notifier: new Notifier(this.database, { ...parts, retryIntervalMs }),
      held: new Set(),
      pending: new Set(),
      isLockedHere: () => false,
      closing: this.closing.signal,
      holderLabel: undefined,
      drainTimeoutMs,
    }
    this.model.onChange((channel) => this.database.emit('notified', channel))
  }

  request(name = 'job', holder = 'me'): LeaseRequest {
    return { name, holder, metadata: undefined, timing: this.timing }
  }

  election(name = 'job', metadata?: Metadata): Election {
    return new Election(this.context, name, { timing: this.timing, metadata })
  }

  /** A lease that is granted at once. */
  async lease(name = 'job', holder = 'me'): Promise<Lease> {
    const outcome = await requestLease(this.context, this.request(name, holder))
    if (outcome instanceof Lease) return outcome
    throw new Error(`expected a lease, was refused: ${outcome.holder}`)
  }
}
