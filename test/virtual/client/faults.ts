/** Faults in the client that schedules of virtual time find. */
import type { Fault } from '../support/fault.ts'

const caughtBy = 'test/virtual/client/schedules.test.ts'

export interface ClientFault extends Fault {
  /**
   * The first schedule of seed 1 that finds it, if only one of many hundreds does. Where a change has made it another one, and the
   * test says so: put the fault into a copy, and `npx tsx test/virtual/replay.ts client 1 0-50000` there tells its number.
   */
  readonly first: number
}

function fault(name: string, file: string, from: string, to: string, first = 0): ClientFault {
  return { name, file: `src/${file}.ts`, from, to, caughtBy, first }
}

export const clientFaults: readonly ClientFault[] = [
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
  fault('a loss does not abort the signal', 'holding', 'this.#ending.abort(this.#loss)', ''),
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
  fault(
    'a beat after a failure comes no sooner',
    'heartbeat',
    'return this.#nowMs() + jittered(lease.timing.retryIntervalMs',
    'return this.#nowMs() + jittered(10 * lease.timing.ttlMs',
  ),
  fault(
    'a candidate does not take what is vacant',
    'candidacy',
    'holder === request.holder || holder === null || rank === null',
    'holder === request.holder || rank === null',
  ),
  fault(
    'a candidate whose place is gone does not ask again',
    'candidacy',
    'holder === null || rank === null) return true',
    'holder === null) return true',
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
