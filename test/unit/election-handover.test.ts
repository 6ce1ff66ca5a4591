import { describe, expect, test } from 'vitest'
import type { Leadership } from '../../src/election.ts'
import { NoCandidateError, ResignedError } from '../../src/errors.ts'
import { timesOf } from './support/candidate.ts'
import { channelOf, ModelLeases } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

/** A leader at work, and two candidates, each in a process of its own. */
async function inElection(drainTimeoutMs = 60_000) {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const join = () => new StubProcess({ clock, model, drainTimeoutMs })
  const process = join()
  const election = process.election()
  let finish = (): void => undefined
  let term: Leadership | undefined
  const stop = new AbortController()
  const leading = election
    .lead(
      (leadership) => {
        term = leadership
        return new Promise<void>((resolve) => {
          finish = resolve
        })
      },
      { signal: stop.signal },
    )
    .catch(() => undefined)
  await clock.settle()
  const campaigns: (Leadership | undefined)[] = []
  for (const place of [0, 1]) {
    void join()
      .election()
      .campaign()
      .then((leadership) => {
        campaigns[place] = leadership
      })
    await clock.settle()
  }
  await clock.advance(1000)
  const waiting = model.line.candidates('job')
  return {
    clock,
    model,
    process,
    election,
    waiting,
    campaigns,
    stop,
    leading,
    term: () => term,
    finish: () => finish(),
  }
}

describe('a leader that gives up', () => {
  test('drains first: its successor leads once its work has settled, and at once then', async () => {
    const { clock, model, election, waiting, campaigns, finish } = await inElection()
    const states: string[] = []
    election.on('state', (state) => void states.push(state))
    const resigned = election.resign()
    await clock.advance(30_000)
    expect(election.state).toBe('draining')
    expect(model.grants).toHaveLength(1)
    finish()
    expect(await resigned).toBe(true)
    await clock.settle()
    expect(campaigns[0]?.isHeld).toBe(true)
    expect(campaigns[1]).toBeUndefined()
    // One who waited has the lease: it need not stand back, and goes to the end of the line.
    expect(states).toEqual(['draining', 'follower', 'candidate'])
    expect(model.line.candidates('job')[0]).toBe(waiting[1])
    expect(model.line.candidates('job')).toHaveLength(2)
  })

  test('and loses the lease while it drains is a follower', async () => {
    const { clock, model, election, finish } = await inElection()
    void election.resign()
    expect(election.state).toBe('draining')
    model.force('job')
    await clock.advance(5000)
    expect(election.state).toBe('follower')
    finish()
  })
})

describe('transfer', () => {
  test('hands the lease to the one that is named, once the work has settled', async () => {
    const { clock, model, election, waiting, campaigns, finish, term } = await inElection()
    const transferred = election.transfer(waiting[1])
    await clock.advance(1000)
    expect(term()?.signal.reason).toBeInstanceOf(ResignedError)
    expect(election.state).toBe('draining')
    finish()
    expect(await transferred).toBe(true)
    await clock.settle()
    expect(campaigns[1]?.isHeld).toBe(true)
    expect(campaigns[0]).toBeUndefined()
    expect(model.line.candidates('job')[0]).toBe(waiting[0])
  })

  test('hands it to the first in line where nobody is named', async () => {
    const { clock, election, campaigns, finish } = await inElection()
    const transferred = election.transfer()
    await clock.settle()
    finish()
    expect(await transferred).toBe(true)
    await clock.settle()
    expect(campaigns[0]?.isHeld).toBe(true)
  })

  test('hands it to the first in line where the one that was named has left meanwhile', async () => {
    const { clock, model, election, waiting, campaigns, finish } = await inElection()
    const transferred = election.transfer(waiting[1])
    await clock.settle()
    model.line.leave('job', waiting[1] ?? '')
    finish()
    expect(await transferred).toBe(true)
    await clock.settle()
    expect(campaigns[0]?.isHeld).toBe(true)
  })

  test('to nobody, or to one that does not wait, is refused, and the leader leads on', async () => {
    const { election, term } = await inElection()
    await expect(election.transfer('nobody')).rejects.toThrow(NoCandidateError)
    expect(election.state).toBe('leader')
    expect(term()?.signal.aborted).toBe(false)

    const alone = new StubProcess()
    const lonely = alone.election()
    await lonely.campaign()
    await expect(lonely.transfer()).rejects.toMatchObject({ code: 'PG_ELECT_NO_CANDIDATE' })
    expect(lonely.state).toBe('leader')
  })

  test('by one that does not lead does nothing', async () => {
    const process = new StubProcess()
    expect(await process.election().transfer()).toBe(false)
    expect(process.database.calls).toEqual([])
    await expect(process.election().transfer('')).rejects.toMatchObject({ code: 'PG_ELECT_INVALID_ARGUMENT' })
  })

  test('that takes longer than the work may is none: the lease is left to expire', async () => {
    const { clock, model, election, waiting, finish } = await inElection(2000)
    const transferred = election.transfer(waiting[1])
    await clock.advance(2000)
    expect(await transferred).toBe(false)
    expect(model.grants).toHaveLength(1)
    finish()
  })

  test('of which the answer was lost is not done twice', async () => {
    const { clock, model, process, election, waiting, campaigns, finish } = await inElection()
    process.database.next('transfer_lease', () => {
      model.transfer('job', 1001, waiting[1])
      throw connectionLost()
    })
    const transferred = election.transfer(waiting[1])
    await clock.settle()
    finish()
    await clock.advance(2000)
    await transferred
    expect(campaigns[1]?.isHeld).toBe(true)
    expect(model.grants).toHaveLength(2)
  })
})

describe('a leader that is asked to step down', () => {
  test('resigns, and the next one in line leads', async () => {
    const { clock, model, election, campaigns, term, finish } = await inElection()
    model.requestStepDown('job')
    await clock.settle()
    expect(election.state).toBe('draining')
    expect(term()?.signal.reason).toBeInstanceOf(ResignedError)
    finish()
    await clock.settle()
    expect(campaigns[0]?.isHeld).toBe(true)
  })

  test('without a notification finds the request within a TTL', async () => {
    const { clock, model, process, election } = await inElection()
    process.database.removeAllListeners('notified')
    model.requestStepDown('job')
    await clock.advance(15_000)
    expect(election.state).toBe('draining')
  })

  test('by a notification alone leads on: anybody can send one', async () => {
    const { clock, process, election } = await inElection()
    for (const message of ['', JSON.stringify({ event: 'step_down', name: 'job', token: 1001 })]) {
      process.database.emit('notified', channelOf('job'), message)
      await clock.settle()
    }
    expect(election.state).toBe('leader')
    expect(timesOf(process, 'get_lease').length).toBeGreaterThanOrEqual(2)
  })

  test('in an earlier term leads on', async () => {
    const { clock, process, election, term } = await inElection()
    const row = { ...process.model.get('job')[0], token: '999', step_down_requested: true }
    process.database.next('get_lease', [row])
    process.database.emit('notified', channelOf('job'), '')
    await clock.settle()
    expect(election.state).toBe('leader')
    expect(term()?.signal.aborted).toBe(false)
  })

  test('while it cannot ask the database asks again soon', async () => {
    const { clock, model, process, election } = await inElection()
    process.database.next('get_lease', connectionLost(), connectionLost())
    model.requestStepDown('job')
    await clock.settle()
    expect(election.state).toBe('leader')
    await clock.advance(1000)
    expect(election.state).toBe('draining')
  })
})

describe('priority', () => {
  test('says who is elected next', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    const lease = await new StubProcess({ clock, model }).lease('job', 'leader')
    const join = (priority: number) => new StubProcess({ clock, model }).election('job', { priority })
    const elections = [-1, 0, 7].map(join)
    for (const election of elections) {
      void election.campaign()
      await clock.settle()
    }
    expect((await elections[0]?.candidates())?.map(({ priority }) => priority)).toEqual([7, 0, -1])
    await lease.release()
    await clock.settle()
    expect(elections.map(({ state }) => state)).toEqual(['candidate', 'candidate', 'leader'])
  })

  test('of null never leads, and asks for nothing; it ends as any other campaign', async () => {
    const process = new StubProcess()
    const stop = new AbortController()
    const election = process.election('job', { priority: null })
    const campaign = election.campaign({ signal: stop.signal })
    await process.clock.advance(60_000)
    expect(process.database.calls).toEqual([])
    expect(election.state).toBe('follower')
    const reason = new Error('enough')
    stop.abort(reason)
    await expect(campaign).rejects.toBe(reason)
    await expect(election.campaign({ signal: stop.signal })).rejects.toBe(reason)
  })
})
