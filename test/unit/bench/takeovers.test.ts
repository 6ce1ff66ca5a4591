import { expect, it } from 'vitest'
import { type Step, takeoverRunner } from '../../../bench/harness/takeovers.ts'

/** A leader whose successor is elected when it ends; with `isEarly`, before. */
function step(name: string, log: string[], isEarly = false): Step {
  let elect = () => {}
  const ended = new Promise<void>((resolve) => {
    elect = resolve
  })
  const release = async () => void log.push(`${name} released`)
  const early = performance.now()
  const elected = isEarly
    ? Promise.resolve({ atMs: early, release })
    : ended.then(() => ({ atMs: performance.now(), release }))
  return {
    successors: [{ name, elected }],
    end() {
      const atMs = performance.now()
      log.push(`${name} ended`)
      elect()
      return atMs
    },
  }
}

function run(isOneByOne: boolean, make: (log: string[]) => Step[]) {
  const log: string[] = []
  const close = async () => void log.push('closed')
  const runner = takeoverRunner({ isOneByOne, prepare: async () => make(log), close }, undefined, 0)
  return { log, runner }
}

it('ends one leader after the other, each once the one before is succeeded', async () => {
  const { log, runner } = run(true, (log) => [step('a', log), step('b', log)])
  await runner.prepare?.(0)
  const figures = await runner.round(0)
  await runner.close()
  expect(log).toEqual(['a ended', 'a released', 'b ended', 'b released', 'closed'])
  expect(figures['ms to the next']).toHaveLength(2)
})

it('ends all at once where only their expiry is waited for', async () => {
  const { log, runner } = run(false, (log) => [step('a', log), step('b', log)])
  await runner.prepare?.(0)
  await runner.round(0)
  expect(log.slice(0, 2)).toEqual(['a ended', 'b ended'])
})

it('does not count who was elected before the leader ended', async () => {
  const { runner } = run(true, (log) => [step('early', log, true), step('b', log)])
  await runner.prepare?.(0)
  const figures = await runner.round(0)
  expect(figures['ms to the next']).toHaveLength(1)
})
