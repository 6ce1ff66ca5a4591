import { describe, expect, test } from 'vitest'
import { defaultLogger } from '../../src/logger.ts'
import { connectionLost } from './support/pg-errors.ts'
import { StubProcess } from './support/stub-process.ts'

describe('the log', () => {
  test('is quiet by default unless something is wrong', () => {
    expect(defaultLogger()).toMatchObject({ level: 'warn' })
  })

  test('of a follower that waits, and of one that becomes the leader and resigns, complains of nothing', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    const election = process.election()
    const campaign = election.campaign()
    await process.clock.advance(61_000)
    await campaign
    await process.clock.advance(60_000)
    await election.resign()
    expect(process.log.lines.length).toBeGreaterThan(0)
    expect(process.log.complaints).toEqual([])
  })

  test('of a leader tells of each renewal that fails and of the loss, once', async () => {
    const process = new StubProcess()
    await process.election().campaign()
    process.database.always('renew_leases', connectionLost())
    await process.clock.advance(60_000)
    const warnings = process.log.messages('warn')
    expect(warnings.filter((message) => message === 'lost a lease')).toHaveLength(1)
    expect(warnings.length).toBeGreaterThan(10)
    expect(warnings.length).toBeLessThan(30)
    expect(process.log.messages('error')).toEqual([])
  })

  test('of every failure holds no more of the error than its code and message', async () => {
    const process = new StubProcess()
    const error = Object.assign(connectionLost(), { config: { password: 'hunter2' } })
    process.model.acquire('job', 'other', 2000)
    process.database.next('acquire_lease', error)
    process.database.next('listen', error)
    process.database.next('get_lease', error)
    process.database.next('renew_leases', error)
    process.database.next('release_lease', error)
    const election = process.election()
    const campaign = election.campaign()
    const stop = new AbortController()
    const changes = election.observe({ signal: stop.signal })
    void changes.next()
    await process.clock.advance(10_000)
    const leadership = await campaign
    await process.clock.advance(5000)
    const released = leadership.release()
    await process.clock.advance(5000)
    await released
    stop.abort()
    const errors = process.log.lines.flatMap(({ fields }) => ('error' in fields ? [fields.error] : []))
    expect(errors).toHaveLength(5)
    for (const logged of errors) {
      expect(logged).toEqual({ code: 'PG_ELECT_CONNECTION', message: error.message })
    }
  })
})
