import { waitForLease } from '../../../src/candidacy.ts'
import type { Lease } from '../../../src/lease.ts'
import { ModelLeases } from './model-leases.ts'
import { StubClock } from './stub-clock.ts'
import { StubProcess } from './stub-process.ts'

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

/** A leader, and so many processes with a candidate each, who stand in line since the moment 0. */
export async function inLine(candidates = 1, ttlMs = 15_000) {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const leader = new StubProcess({ clock, model, ttlMs })
  const lease = await leader.lease('job', 'leader')
  const all = []
  for (let place = 0; place < candidates; place++) {
    const process = new StubProcess({ clock, model, ttlMs })
    all.push({ process, ...candidate(process, `candidate ${place}`) })
    await clock.settle()
  }
  const [first] = all
  if (first === undefined) throw new Error('expected a candidate')
  return { clock, model, lease, leader, all, first }
}

/** The process hears nothing, though its LISTEN is in force: as when the server leaves notifications out. */
export function unhear(process: StubProcess): void {
  const { database } = process
  const emit = database.emit.bind(database) as (...event: unknown[]) => boolean
  database.emit = ((...event: unknown[]) => (event[0] === 'notified' ? false : emit(...event))) as never
}

export function held(lease: Lease | undefined): Lease {
  if (lease === undefined) throw new Error('expected a lease')
  return lease
}
