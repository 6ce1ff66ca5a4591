/**
 * Every function of the schema that can be called, with random, nasty and valid arguments, by roles of every kind, alone and in
 * transactions: only the documented SQLSTATEs come back, and a refused call has written nothing. CALLS: how many; SEED: which; ONLY: those
 * functions whose names match.
 */
import { afterAll, expect, test } from 'vitest'
import type { Random } from '../../../src/jitter.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { Caller, type Outcome } from './caller.ts'
import { readCallables } from './functions.ts'
import { Values } from './values.ts'
import { World } from './world.ts'

const calls = scaled(3_000, 'CALLS')
const LANES = 3
/** Far more than any function is documented to wait. */
const SLOW_MS = 5_000
/** After so many calls the sessions let go of what they keep, and admins' doings are undone. */
const TIDY_AFTER = 25
/** After so many calls it is looked up again which leases there are. */
const LOOK_AFTER = 5

/** Those without rights hear the same each time. */
function drawCaller(random: Random, callers: readonly Caller[]): Caller {
  const [from, count] = random() < 0.9 ? [0, 4] : [4, callers.length - 4]
  return callers[from + Math.floor(random() * count)] as Caller
}

const only = new RegExp(process.env.ONLY || '')
const worlds: World[] = []
afterAll(async () => {
  for (const world of worlds) await world.close()
})

test(
  `calls are refused with documented SQLSTATEs only, and refused calls write nothing, SEED=${seed} CALLS=${calls}`,
  timeoutFor(calls, 100),
  async () => {
    const codes = new Map<string, number>()
    const called = new Map<string, number>()
    const granted = new Set<string>()
    const failures = new Map<string, string>()
    let total = 0
    let slowest = { tookMs: 0, call: '' }
    let waitedMs = 0

    const see = (outcome: Outcome, when: string) => {
      const { call, code, tookMs } = outcome
      const name = call.replace(/^[^:]*: (\w+).*/s, '$1')
      total += 1
      waitedMs += tookMs
      codes.set(code, (codes.get(code) ?? 0) + 1)
      if (code === '00000') granted.add(name)
      if (tookMs > slowest.tookMs) slowest = outcome
      const wrong = [...outcome.wrong]
      if (tookMs > SLOW_MS) wrong.push(`took ${Math.round(tookMs)} ms`)
      for (const what of wrong) {
        // Each kind of failure once is enough to be read.
        const key = `${name}: ${what.replaceAll(/\d{3,}|"[^"]*"/g, '…').slice(0, 80)}`
        if (!failures.has(key)) failures.set(key, `${when}, ${call}: ${what.slice(0, 400)}`)
      }
    }

    const lane = async (number: number) => {
      const world = await World.open()
      worlds.push(world)
      const callables = (await readCallables(world.superuser, world.roles.admin)).filter(({ name }) =>
        only.test(name),
      )
      const callers = (['user', 'user', 'admin', 'admin', 'reader', 'stranger'] as const).map(
        (kind) => new Caller(world, kind),
      )
      const random = seededRandom(seed + number)
      let tidyAt = 0
      let lookAt = 0
      let known = await world.look()
      for (let call = 0; call < Math.ceil(calls / LANES); ) {
        if (call >= tidyAt || !world.areRightsKnown) {
          tidyAt = call + TIDY_AFTER
          for (const caller of callers) await caller.letGo()
          await world.giveRights()
          await world.tidy()
        }
        if (call >= lookAt) {
          lookAt = call + LOOK_AFTER
          known = await world.look()
        }
        const isAlone = random() < 0.9
        const callersNow = isAlone ? [drawCaller(random, callers)] : callers
        const outcomes = await Promise.all(
          callersNow.map((caller) => {
            // A source of its own for each, as those who call at the same time draw in any order.
            const values = new Values(seededRandom(Math.floor(random() * 2 ** 32)), known)
            const callable = values.pick(callables)
            called.set(callable.name, (called.get(callable.name) ?? 0) + 1)
            return caller.call(callable, values, isAlone)
          }),
        )
        call += outcomes.length
        for (const outcome of outcomes) see(outcome, `lane ${number}, before call ${call}`)
      }
      for (const caller of callers) await caller.close()
    }
    await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)))

    const figures = [...codes].toSorted().map(([code, count]) => `${code} ${count}`)
    console.log(
      `SEED=${seed} CALLS=${total} of ${called.size} functions: ${figures.join(', ')}; mean ${(waitedMs / total).toFixed(1)} ms, slowest ${Math.round(slowest.tookMs)} ms: ${slowest.call}`,
    )
    const never = [...called.keys()].filter((name) => !granted.has(name))
    if (never.length > 0) console.log(`never went through: ${never}`)
    expect([...failures.values()]).toEqual([])
  },
)
