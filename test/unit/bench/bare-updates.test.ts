import { expect, it } from 'vitest'
import { type Bench, Unavailable } from '../../../bench/harness/scenario.ts'
import { bareUpdates, bareUpdatesTogether } from '../../../bench/support/bare-updates.ts'

/** A server that answers at once, and writes down what it is asked. */
function openBench(free: number, isQuick = false) {
  const asked: string[] = []
  const query = async (asking: string | { text: string }) => {
    asked.push(typeof asking === 'string' ? asking : asking.text)
    // So that time passes.
    await new Promise((resolve) => setImmediate(resolve))
    return { rows: [{ free }] }
  }
  const bench = { isQuick, database: { connect: async () => ({ query, end: async () => undefined }) } }
  const updates = () => asked.filter((text) => text.includes('SET n = n + 1'))
  return { bench: bench as unknown as Bench, updates }
}

it('does half of its updates durably, and each connection those of its own row', async () => {
  const { bench, updates } = openBench(1000)
  const runner = await bareUpdates(3).open(bench)
  await runner.round(10)
  const lazy = updates().filter((text) => text.includes("set_config('synchronous_commit', 'off', true)"))
  expect(lazy).toHaveLength(updates().length / 2)
  expect(new Set(updates().map((text) => /id = \d$/.exec(text)?.[0]))).toEqual(
    new Set(['id = 0', 'id = 1', 'id = 2']),
  )
})

it('counts a cycle for each row where one statement updates all of them', async () => {
  const { bench, updates } = openBench(1000)
  const runner = await bareUpdatesTogether(50).open(bench)
  const startMs = performance.now()
  const figures = await runner.round(10)
  const tookMs = performance.now() - startMs
  expect(Object.keys(figures)).toEqual(['p50 ms', 'p99 ms', 'cycles/s'])
  const least = ((updates().length / 2) * 50 * 1000) / tookMs
  expect(figures['cycles/s']).toBeGreaterThanOrEqual(least)
  expect(figures['cycles/s']).toBeLessThan(2 * least)
})

it('is passed over where the server does not take so many connections, and many of them in a quick run', async () => {
  await expect(bareUpdates(256).open(openBench(97).bench)).rejects.toThrow(Unavailable)
  await expect(bareUpdates(256).open(openBench(1000, true).bench)).rejects.toThrow('not in a quick run')
})
