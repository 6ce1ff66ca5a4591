import { describe, expect, test } from 'vitest'
import { waitForLease } from '../../src/candidacy.ts'
import { Lease } from '../../src/lease.ts'
import { timesOf } from './support/candidate.ts'
import { grantedRow, waitingRow } from './support/rows.ts'
import { StubProcess } from './support/stub-process.ts'

/** A candidate for one of five shares, who stands at that rank. */
async function candidateAt(rank: number) {
  const process = new StubProcess()
  const { database } = process
  const stands = { rank }
  const asIt = () => [waitingRow(stands.rank, 'other', 600_000)]
  for (const name of ['acquire_share', 'get_candidacy', 'refresh_candidates']) database.always(name, asIt)
  const state: { lease?: Lease } = {}
  const share = { isExclusive: false, capacity: 5 }
  const request = { ...process.request('job', 'me', 3), share }
  void waitForLease(process.context, request, process.closing.signal).then((lease) => {
    state.lease = lease
  })
  await process.clock.settle()
  return { process, stands, state }
}

describe('a candidate for a share', () => {
  test('asks for one, and stands in line by its priority', async () => {
    const { process } = await candidateAt(1)
    expect(process.database.callsOf('acquire_share')).toMatchObject([
      { arguments: { name: 'job', holder: 'me', exclusive: false, capacity: 5, wait: true, priority: 3 } },
    ])
    expect(timesOf(process, 'acquire_lease')).toEqual([])
  })

  test('behind another only looks, whoever holds the others', async () => {
    const { process } = await candidateAt(2)
    await process.clock.advance(60_000)
    expect(timesOf(process, 'get_candidacy')).toEqual([0])
    expect(timesOf(process, 'acquire_share')).toEqual([0])
  })

  // A share beside the one that it was told of may have expired: of that nobody tells.
  test('that is first asks at each beat', async () => {
    const { process, stands } = await candidateAt(2)
    stands.rank = 0
    await process.clock.advance(20_000)
    expect(timesOf(process, 'refresh_candidates')).toEqual([4750, 9500, 14_250, 19_000])
    expect(timesOf(process, 'acquire_share')).toEqual([0, 4750, 9500, 14_250, 19_000])
  })

  test('holds the share that it was granted, not the lease that it asked for by name', async () => {
    const { process, stands, state } = await candidateAt(2)
    stands.rank = 0
    process.database.next('acquire_share', [{ ...grantedRow(7, 'me'), lease: 'job/7' }])
    await process.clock.advance(4750)
    expect(state.lease).toBeInstanceOf(Lease)
    expect(state.lease).toMatchObject({ name: 'job/7', token: 7, isHeld: true })
  })
})
