/**
 * Every function of the schema that can be called, with random, nasty and valid arguments, by roles of every kind, alone and in
 * transactions: only the documented SQLSTATEs come back, and a refused call has written nothing. CALLS: how many; SEED: which; ONLY: those
 * functions whose names match.
 */
import { afterAll, expect, test } from 'vitest'
import { seededRandom } from '../../unit/support/random.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { Caller } from './caller.ts'
import { readCallables } from './functions.ts'
import { Values } from './values.ts'
import { World } from './world.ts'

const calls = scaled(3_000, 'CALLS')
const LANES = 3
/** Far more than any function is documented to wait. */
const SLOW_MS = 5_000
/** After so many calls the sessions let go of what they keep, and admins' doings are undone. */
const TIDY_AFTER = 25

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
      for (let call = 0; call < Math.ceil(calls / LANES); call++) {
        if (call % TIDY_AFTER === 0 || !world.areRightsKnown) {
          for (const caller of callers) await caller.letGo()
          await world.giveRights()
          await world.tidy()
        }
        const values = new Values(random, await world.look())
        const callable = values.pick(callables)
        // Those without rights say the same each time.
        const caller = values.pick(values.chance(0.9) ? callers.slice(0, 4) : callers.slice(4))
        const outcome = await caller.call(callable, values)
        total += 1
        codes.set(outcome.code, (codes.get(outcome.code) ?? 0) + 1)
        called.set(callable.name, (called.get(callable.name) ?? 0) + 1)
        if (outcome.code === '00000') granted.add(callable.name)
        waitedMs += outcome.tookMs
        if (outcome.tookMs > slowest.tookMs) slowest = outcome
        const wrong = [...outcome.wrong]
        if (outcome.tookMs > SLOW_MS) wrong.push(`took ${Math.round(outcome.tookMs)} ms`)
        for (const what of wrong) {
          // Each kind of failure once is enough to be read.
          const key = `${callable.name}: ${what.replaceAll(/\d{3,}|"[^"]*"/g, '…').slice(0, 80)}`
          if (!failures.has(key))
            failures.set(key, `lane ${number}, call ${call}, ${outcome.call}: ${what.slice(0, 400)}`)
        }
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
