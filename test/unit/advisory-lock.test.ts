import { describe, expect, test } from 'vitest'
import { AdvisoryLocks } from '../../src/advisory-lock.ts'
import { LeaseLostError, PoolerError } from '../../src/errors.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

/** A server that lets one session lock twice, as the real one does. */
function setUp() {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, {
    try_advisory_lock: [{ locked: true }],
    advisory_unlock: [{ unlocked: true }],
  })
  return { clock, database, locks: new AdvisoryLocks(database) }
}

describe('an advisory lock', () => {
  test('is held until it is given back', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    expect(lock).toMatchObject({ name: 'job', isHeld: true })
    expect(lock?.signal.aborted).toBe(false)
    expect(await lock?.release()).toBe(true)
    expect(lock?.isHeld).toBe(false)
    expect(database.callsOf('advisory_unlock')).toMatchObject([{ arguments: { name: 'job' } }])
  })

  test('is not had where somebody else has it, and may be asked for again', async () => {
    const { database, locks } = setUp()
    database.next('try_advisory_lock', [{ locked: false }])
    expect(await locks.tryLock('job')).toBeNull()
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  test('excludes others of the same process, to which the server would give it again', async () => {
    const { database, locks } = setUp()
    const [one, other] = await Promise.all([locks.tryLock('job'), locks.tryLock('job')])
    expect(one).not.toBeNull()
    expect(other).toBeNull()
    expect(await locks.tryLock('job')).toBeNull()
    expect(await locks.tryLock('other job')).not.toBeNull()
    expect(database.callsOf('try_advisory_lock')).toHaveLength(2)
    await one?.release()
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  test('excludes others of the same process until the server has let it go', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    const unlocking = database.hold('advisory_unlock')
    const released = lock?.release()
    expect(await locks.tryLock('job')).toBeNull()
    ;(await unlocking).answer({ unlocked: true })
    expect(await released).toBe(true)
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  test('may be asked for again after a failure', async () => {
    const { database, locks } = setUp()
    database.next('try_advisory_lock', connectionLost())
    await expect(locks.tryLock('job')).rejects.toMatchObject({ code: 'PG_ELECT_CONNECTION' })
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  test('is refused behind a pooler, before anything is locked', async () => {
    const { database, locks } = setUp()
    database.isBehindPooler = true
    await expect(locks.tryLock('job')).rejects.toThrow(PoolerError)
    expect(database.calls).toEqual([])
    database.isBehindPooler = false
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  test('is given back once, however often it is asked for', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    expect(await Promise.all([lock?.release(), lock?.release()])).toEqual([true, false])
    expect(database.callsOf('advisory_unlock')).toHaveLength(1)
  })

  test('is given back at the end of a scope', async () => {
    const { database, locks } = setUp()
    const scope = async () => {
      await using lock = await locks.tryLock('job')
      expect(lock?.isHeld).toBe(true)
    }
    await scope()
    expect(database.callsOf('advisory_unlock')).toHaveLength(1)
  })
})

describe('a lost connection', () => {
  test('takes all locks, and says so', async () => {
    const { database, locks } = setUp()
    const [one, two] = [await locks.tryLock('one'), await locks.tryLock('two')]
    database.emit('lost')
    for (const lock of [one, two]) {
      expect(lock?.isHeld).toBe(false)
      expect(lock?.signal.reason).toBeInstanceOf(LeaseLostError)
    }
  })

  test('leaves nothing to give back: the answer is no, and the next session is not asked', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    database.emit('lost')
    const next = await locks.tryLock('job')
    expect(await lock?.release()).toBe(false)
    expect(database.callsOf('advisory_unlock')).toEqual([])
    expect(next?.isHeld).toBe(true)
  })

  test('while the lock is given back is no error: the server has freed it', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    const unlocking = database.hold('advisory_unlock')
    const released = lock?.release()
    database.emit('lost')
    ;(await unlocking).fail(connectionLost())
    expect(await released).toBe(false)
    expect(lock?.signal.aborted).toBe(false)
    expect(await locks.tryLock('job')).not.toBeNull()
  })

  // The loss is told before the failure of what was under way, and a listener may ask anew in between.
  test('while the lock is asked for lets nobody in beside who asks next', async () => {
    const { database, locks } = setUp()
    const asking = database.hold('try_advisory_lock')
    const first = locks.tryLock('job')
    const asked = await asking
    database.emit('lost')
    const second = locks.tryLock('job')
    asked.fail(connectionLost())
    await expect(first).rejects.toThrow()
    const third = locks.tryLock('job')
    const held = (await Promise.all([second, third])).filter((lock) => lock !== null)
    expect(held).toHaveLength(1)
  })
})

describe('an unlock that the server refuses', () => {
  test('is an error', async () => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    database.next('advisory_unlock', serverError('42501'))
    await expect(lock?.release()).rejects.toMatchObject({ code: 'PG_ELECT_ACCESS_DENIED' })
  })

  // A query that is cancelled (57014) or short of memory (53200) leaves the session as it was, with the lock.
  test.each([['57014'], ['53200']])('for now can be tried again: SQLSTATE %s', async (sqlState) => {
    const { database, locks } = setUp()
    const lock = await locks.tryLock('job')
    database.next('advisory_unlock', serverError(sqlState))
    await lock?.release().catch(() => undefined)
    await lock?.release().catch(() => undefined)
    expect(await locks.tryLock('job')).not.toBeNull()
  })
})
