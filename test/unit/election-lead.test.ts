import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { Leadership } from '../../src/election.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { StubProcess } from './support/stub-process.ts'

/** Work that goes on until the test ends it, and notes how much of it runs at once. */
function workbench() {
  const terms: { leadership: Leadership; finish: (value: string) => void; fail: (error: Error) => void }[] =
    []
  const bench = {
    terms,
    runningMax: 0,
    running: 0,
    work: async (leadership: Leadership): Promise<string> => {
      bench.running += 1
      bench.runningMax = Math.max(bench.runningMax, bench.running)
      try {
        return await new Promise<string>((finish, fail) => void terms.push({ leadership, finish, fail }))
      } finally {
        bench.running -= 1
      }
    },
    /** As `work`, but it stops when it is told to. */
    obedientWork: (leadership: Leadership): Promise<string> => {
      const done = bench.work(leadership)
      const term = terms.at(-1)
      leadership.signal.addEventListener('abort', () => term?.finish('stopped'), { once: true })
      return done
    },
  }
  return bench
}

describe('lead', () => {
  test('returns what the work returned by itself, and releases', async () => {
    const process = new StubProcess()
    const election = process.election()
    expect(await election.lead(() => 5)).toBe(5)
    expect(await election.lead(async ({ isHeld }) => isHeld)).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.model.grants).toHaveLength(2)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('throws what the work threw by itself, and releases', async () => {
    const process = new StubProcess()
    const error = new TypeError('of the work')
    const leading = process.election().lead(() => {
      throw error
    })
    await expect(leading).rejects.toBe(error)
    expect(process.model.holding('job')).toBeUndefined()
  })

  test('campaigns again after a loss, under a larger token', async () => {
    const process = new StubProcess()
    const { work: _work, obedientWork, terms, ...bench } = workbench()
    const leading = process.election().lead(obedientWork)
    await process.clock.settle()
    for (let term = 1; term <= 3; term++) {
      expect(terms).toHaveLength(term)
      process.model.force('job')
      await process.clock.advance(5100)
    }
    expect(bench.runningMax).toBeLessThanOrEqual(1)
    terms.at(-1)?.finish('done')
    expect(await leading).toBe('done')
    const tokens = terms.map(({ leadership }) => leadership.token)
    expect(tokens).toEqual(process.model.grants.map(({ token }) => token))
    expect(new Set(tokens).size).toBe(4)
  })

  test('never runs the work twice at once: one that does not stop keeps this candidate out', async () => {
    const process = new StubProcess()
    const bench = workbench()
    const stop = new AbortController()
    const leading = process.election().lead(bench.work, { signal: stop.signal })
    await process.clock.settle()
    process.model.force('job')
    await process.clock.advance(60_000)
    expect(bench.terms).toHaveLength(1)
    expect(bench.terms[0]?.leadership.isHeld).toBe(false)
    expect(process.model.grants).toHaveLength(1)
    bench.terms[0]?.finish('too late')
    await process.clock.settle()
    expect(bench.terms).toHaveLength(2)
    expect(bench.runningMax).toBe(1)
    bench.terms[1]?.finish('in time')
    expect(await leading).toBe('in time')
  })

  test('drops what the work returns or throws after a loss', async () => {
    const process = new StubProcess()
    const bench = workbench()
    const leading = process.election().lead(bench.work)
    await process.clock.settle()
    for (const end of ['finish', 'fail'] as const) {
      process.model.force('job')
      await process.clock.advance(5000)
      const term = bench.terms.at(-1)
      if (end === 'finish') term?.finish('stale')
      else term?.fail(new Error('stale'))
      await process.clock.settle()
    }
    expect(bench.terms).toHaveLength(3)
    bench.terms[2]?.finish('fresh')
    expect(await leading).toBe('fresh')
  })

  test('drops what the work returns after its deadline, though no timer has fired', async () => {
    const process = new StubProcess()
    let terms = 0
    const result = await process.election().lead(() => {
      terms += 1
      if (terms === 1) process.clock.pass(15_000)
      return terms
    })
    expect(result).toBe(2)
  })

  test('stands back for a beat after it resigned, so that another goes first', async () => {
    const process = new StubProcess()
    const bench = workbench()
    const election = process.election()
    const leading = election.lead(bench.obedientWork)
    await process.clock.settle()
    await election.resign()
    await process.clock.advance(4999)
    expect(process.model.grants).toHaveLength(1)
    expect(election.state).toBe('follower')
    await process.clock.advance(1)
    expect(bench.terms).toHaveLength(2)
    bench.terms[1]?.finish('second')
    expect(await leading).toBe('second')
  })

  test("ends with the signal's reason, once the work has settled and the lease is given back", async () => {
    const process = new StubProcess()
    const bench = workbench()
    const stop = new AbortController()
    const reason = new Error('shutting down')
    let isOver = false
    const leading = process
      .election()
      .lead(bench.work, { signal: stop.signal })
      .finally(() => {
        isOver = true
      })
    const ended = expect(leading).rejects.toBe(reason)
    await process.clock.settle()
    stop.abort(reason)
    expect(bench.terms[0]?.leadership.signal.reason).toBe(reason)
    await process.clock.settle()
    expect(isOver).toBe(false)
    expect(process.model.holding('job')).toBeDefined()
    bench.terms[0]?.finish('whatever')
    await ended
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test("ends with the reason of the client's closing, while leading and while waiting", async () => {
    const process = new StubProcess()
    const reason = new Error('closing')
    const [leader, follower] = [workbench(), workbench()]
    const leading = expect(process.election().lead(leader.obedientWork)).rejects.toBe(reason)
    await process.clock.settle()
    const waiting = expect(process.election().lead(follower.obedientWork)).rejects.toBe(reason)
    await process.clock.advance(1000)
    process.closing.abort(reason)
    await Promise.all([leading, waiting])
    expect(follower.terms).toEqual([])
    expect(process.model.holding('job')).toBeUndefined()
  })

  test("ends with the signal's reason also while it stands back", async () => {
    const process = new StubProcess()
    const bench = workbench()
    const stop = new AbortController()
    const election = process.election()
    const leading = expect(election.lead(bench.obedientWork, { signal: stop.signal })).rejects.toThrow(
      'enough',
    )
    await process.clock.settle()
    await election.resign()
    await process.clock.advance(100)
    stop.abort(new Error('enough'))
    await leading
    expect(bench.terms).toHaveLength(1)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('rides out lost connections', async () => {
    const process = new StubProcess()
    const bench = workbench()
    process.database.next('acquire_lease', connectionLost())
    const leading = process.election().lead(bench.work)
    await process.clock.advance(1000)
    process.database.next('renew_leases', connectionLost(), connectionLost())
    process.database.emit('lost')
    await process.clock.advance(30_000)
    expect(bench.terms).toHaveLength(1)
    bench.terms[0]?.finish('done')
    expect(await leading).toBe('done')
  })

  test('gives up on a fault that stays', async () => {
    const process = new StubProcess()
    process.database.next('acquire_lease', serverError('3F000'))
    await expect(process.election().lead(() => 5)).rejects.toMatchObject({ code: 'PG_ELECT_SCHEMA_MISSING' })
  })

  test('of work that is no function is refused before anything is asked', async () => {
    const process = new StubProcess()
    const leading = process.election().lead('work' as never)
    await expect(leading).rejects.toMatchObject({ code: 'PG_ELECT_INVALID_ARGUMENT' })
    expect(process.database.calls).toEqual([])
  })

  test('leaves no listener at the signal that it was given, however many terms it served', async () => {
    const process = new StubProcess()
    const bench = workbench()
    const leading = process.election().lead(bench.obedientWork)
    for (let term = 1; term <= 5; term++) {
      await process.clock.advance(100)
      process.model.force('job')
      await process.clock.advance(5000)
    }
    bench.terms.at(-1)?.finish('done')
    await leading
    expect(bench.terms).toHaveLength(6)
    expect(getEventListeners(process.closing.signal, 'abort')).toEqual([])
  })
})
