import { waitForLease } from '../../../src/candidacy.ts'
import type { Lease } from '../../../src/lease.ts'
import type { StubProcess } from './stub-process.ts'

/** A candidate that waits, and what has become of it. */
export function candidate(process: StubProcess, holder = 'me', priority = 0) {
  const stop = new AbortController()
  const state: { lease?: Lease; error?: unknown } = {}
  const request = process.request('job', holder, priority)
  const waiting = waitForLease(process.context, request, stop.signal).then(
    (lease) => {
      state.lease = lease
    },
    (error: unknown) => {
      state.error = error
    },
  )
  return { state, stop, waiting }
}

/** When a function was called, by the world's clock. */
export function timesOf(process: StubProcess, name: string): number[] {
  return process.database.callsOf(name).map(({ sentAtMs }) => sentAtMs)
}
