/**
 * Step-down requests: an operator asks the leader to finish and give the lease back (`elect.request_step_down`).
 *
 * The request stands in the row. The notification only says "look", so nobody deposes a leader by sending one, and a request that was
 * made while the connection was down is found when listening begins again.
 */
import type { CandidacyContext } from './candidacy.ts'
import { isTransient } from './errors.ts'
import type { Lease } from './lease.ts'
import { getLease } from './queries.ts'
import { Wakeup } from './wakeup.ts'

/** Calls back once if the leader is asked to step down while it leads. */
export async function watchStepDown(
  context: CandidacyContext,
  leadership: Lease,
  onRequested: () => void,
): Promise<void> {
  const { clock, notifier, executor } = context
  const { name, token, timing, signal } = leadership
  const changed = new Wakeup(clock)
  const unwatch = notifier.watch(name, changed.wake)
  try {
    let delayMs = timing.ttlMs
    for (;;) {
      // Woken, or once a TTL, in case a notification was left out.
      await changed.wait(delayMs, signal)
      if (signal.aborted) return
      try {
        const lease = await getLease(notifier.lookingBy(executor), name, { timeoutMs: timing.queryTimeoutMs })
        if (lease?.token === token && lease.stepDownRequested) return onRequested()
        delayMs = timing.ttlMs
      } catch (error) {
        if (!isTransient(error)) return
        delayMs = timing.retryIntervalMs
      }
    }
  } finally {
    unwatch()
  }
}
