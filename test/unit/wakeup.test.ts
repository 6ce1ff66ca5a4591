import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { Wakeup } from '../../src/wakeup.ts'
import { StubClock } from './support/stub-clock.ts'

function waiting(wakeup: Wakeup, delayMs: number, signal?: AbortSignal): { outcome: boolean | 'waits' } {
  const state: { outcome: boolean | 'waits' } = { outcome: 'waits' }
  void wakeup.wait(delayMs, signal).then((woken) => {
    state.outcome = woken
  })
  return state
}

describe('a wait', () => {
  test('is over after its delay, not before, and was not woken then', async () => {
    const clock = new StubClock()
    const wait = waiting(new Wakeup(clock), 100)
    await clock.advance(99)
    expect(wait.outcome).toBe('waits')
    await clock.advance(1)
    expect(wait.outcome).toBe(false)
  })

  test('is over at once when it is woken, and leaves no timer', async () => {
    const clock = new StubClock()
    const wakeup = new Wakeup(clock)
    const wait = waiting(wakeup, 100)
    await clock.advance(10)
    wakeup.wake()
    await clock.settle()
    expect(wait.outcome).toBe(true)
    expect(clock.pendingTimers).toBe(0)
  })

  test('does not begin if it was woken before: no wake is lost, and none counts twice', async () => {
    const clock = new StubClock()
    const wakeup = new Wakeup(clock)
    wakeup.wake()
    wakeup.wake()
    expect(await wakeup.wait(100)).toBe(true)
    const next = waiting(wakeup, 100)
    await clock.advance(99)
    expect(next.outcome).toBe('waits')
  })

  test('is over when its signal aborts, and does not begin if it has', async () => {
    const clock = new StubClock()
    const stop = new AbortController()
    const wakeup = new Wakeup(clock)
    const wait = waiting(wakeup, 100, stop.signal)
    stop.abort()
    await clock.settle()
    expect(wait.outcome).toBe(false)
    expect(await wakeup.wait(100, stop.signal)).toBe(false)
    expect(clock.pendingTimers).toBe(0)
  })

  test('is over when it is cut short, which is no wake, and does nothing to the next one', async () => {
    const clock = new StubClock()
    const wakeup = new Wakeup(clock)
    wakeup.cut()
    const wait = waiting(wakeup, 100)
    await clock.settle()
    expect(wait.outcome).toBe('waits')
    wakeup.cut()
    await clock.settle()
    expect(wait.outcome).toBe(false)
    expect(clock.pendingTimers).toBe(0)
  })

  test('leaves no listener at its signal', async () => {
    const clock = new StubClock()
    const { signal } = new AbortController()
    const wakeup = new Wakeup(clock)
    const timedOut = wakeup.wait(100, signal)
    await clock.advance(100)
    await timedOut
    const woken = wakeup.wait(100, signal)
    wakeup.wake()
    await woken
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  test('that was woken just as its time was over was woken', async () => {
    const clock = new StubClock()
    const wakeup = new Wakeup(clock)
    const wait = waiting(wakeup, 100)
    clock.setTimer(wakeup.wake, 100)
    await clock.advance(100)
    // Either it ends as woken, or the next one does.
    expect(wait.outcome === true || (await wakeup.wait(1e6))).toBe(true)
  })
})
