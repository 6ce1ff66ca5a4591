/** Faults in the client that schedules of virtual time find. */
import type { Fault } from '../support/fault.ts'

const caughtBy = 'test/virtual/client/schedules.test.ts'

export interface ClientFault extends Fault {
  /** Only one schedule of thousands finds it. */
  readonly isRare: boolean
}

function fault(name: string, file: string, from: string, to: string): ClientFault {
  return { name, file: `src/${file}.ts`, from, to, caughtBy, isRare: false }
}

const common: readonly ClientFault[] = [
  fault(
    'there is no safety margin',
    'deadline',
    'lastsMs: ttlMs - safetyMarginMs',
    'lastsMs: ttlMs + 0 * safetyMarginMs',
  ),
  fault(
    'what was handed over is trusted for a whole TTL',
    'holding',
    'Math.min(ttlMs, expiresInMs ?? ttlMs)',
    'Math.max(ttlMs, expiresInMs ?? ttlMs)',
  ),
  fault('who holds once holds for ever', 'holding', 'if (this.#trustedMs > 0) return true', 'return true'),
  fault(
    'nothing happens at the deadline',
    'holding',
    'A timer can also come early.\n      if (this.isHeld) this.#watchDeadline()',
    'this.#deadlineTimer = undefined',
  ),
  fault('a loss does not abort the signal', 'holding', 'this.#ending.abort(() => this.#loss)', ''),
  fault(
    'time in a suspend does not count',
    'clock',
    'to.uptimeMs - from.uptimeMs - UPTIME_STEP_MS,\n    to.wallMs - from.wallMs,',
    '',
  ),
  fault(
    'beats come too late',
    'heartbeat',
    'lease.timing.renewIntervalMs * (1 - 0.1',
    'lease.timing.renewIntervalMs * (4 - 0.1',
  ),
  fault(
    'a beat that fails is the last',
    'heartbeat',
    'for (const lease of due) this.#schedule(lease, this.#nextRetryAtMs(lease))',
    'for (const lease of due) this.#dueAtMs.delete(lease)',
  ),
  fault('what a session has lost is not heard of', 'kept-session', '      this.#unbind(answer.lost)\n', ''),
  fault(
    'a candidate does not take what is vacant',
    'candidacy',
    'holder === request.holder || holder === null || rank === null',
    'holder === request.holder || rank === null',
  ),
  fault(
    'the wait after a failure has no end',
    'candidacy',
    'delayMs = jittered(timing.retryIntervalMs, random, 0.5)',
    'delayMs = 3_600_000',
  ),
  fault(
    'a loss is no loss',
    'holding',
    "this.lose('it was not renewed before its deadline')\n    return false",
    'return false',
  ),
]

/**
 * The safety margin, or a later beat, makes up for each of these nearly always: at seed 1 the first schedules that found them were 7,050,
 * 2,542 and 4,432. CI does not look for them, as it would find them by luck only; unit tests notice each at once. A candidate that does
 * not ask again when its place is gone was not found in 18,000 schedules, and is left to the unit tests altogether.
 */
const rare: readonly ClientFault[] = [
  fault(
    'trust in a grant begins with its receipt',
    'request',
    'trustIn(request.timing, sentAt,',
    'trustIn(request.timing, context.clock.now(),',
  ),
  fault(
    'trust in a renewal begins with its receipt',
    'heartbeat',
    'lease.extended(sentAt,',
    'lease.extended(clock.now(),',
  ),
  fault(
    'a beat after a failure comes no sooner',
    'heartbeat',
    'return this.#nowMs() + jittered(lease.timing.retryIntervalMs',
    'return this.#nowMs() + jittered(10 * lease.timing.ttlMs',
  ),
]

export const clientFaults: readonly ClientFault[] = [
  ...common,
  ...rare.map((one) => ({ ...one, isRare: true })),
]
