import { expect, test } from 'vitest'
import { LazySignal } from '../../src/lazy-signal.ts'

test('a signal that was asked for aborts, with the reason', () => {
  const lazy = new LazySignal()
  const { signal } = lazy
  expect([signal.aborted, lazy.isAborted]).toEqual([false, false])
  lazy.abort(() => 'over')
  expect([signal.reason, lazy.isAborted, lazy.signal === signal]).toEqual(['over', true, true])
})

test('one that is asked for later has aborted, and its reason is made only then', () => {
  const lazy = new LazySignal()
  let made = 0
  lazy.abort(() => {
    made += 1
    return 'over'
  })
  expect([lazy.isAborted, made]).toEqual([true, 0])
  expect([lazy.signal.reason, lazy.signal.reason, made]).toEqual(['over', 'over', 1])
})

test('only the first reason counts', () => {
  const [before, after] = [new LazySignal(), new LazySignal()]
  void before.signal
  for (const reason of ['first', 'second']) for (const lazy of [before, after]) lazy.abort(() => reason)
  expect([before.signal.reason, after.signal.reason]).toEqual(['first', 'first'])
})
