/** Runs schedules of the client, and says what went wrong. */
import { Dice } from '../../faults/guard/schedule.ts'
import { Checks } from './checks.ts'
import { drawSchedule, type Schedule, type Trouble } from './schedule.ts'
import { calm, type Member, World } from './world.ts'

/** One schedule of so many goes on for a while without any trouble. */
const CALM_EACH = 5

/** One schedule and what came of it. */
export interface Run {
  /** Each event, for readers, if asked for; the same for the same seed and number. */
  readonly trace: readonly string[]
  /** Empty: all was well. */
  readonly violations: readonly string[]
  /** How often somebody was elected. */
  readonly terms: number
}

export async function runSchedule(seed: number, number: number, { traced = false } = {}): Promise<Run> {
  const dice = new Dice(seed, number)
  const schedule = drawSchedule(dice)
  const { ttlMs, calmAtMs, hasSessions } = schedule
  const world = new World(dice, { ttlMs, traced, hasSessions })
  const checks = new Checks(world, ttlMs)
  if (traced) world.trace.push(JSON.stringify(schedule))
  for (const { priority, rate, joinsAtMs } of schedule.members) {
    world.at(joinsAtMs, () => void world.join(priority, rate))
  }
  for (const { atMs, trouble } of schedule.troubles) {
    world.at(atMs, () => {
      world.tell(() => `trouble: ${JSON.stringify(trouble)}`)
      begin(world, trouble)
    })
  }
  keepPasts(world, schedule)
  await world.run(calmAtMs, checks.look)
  world.tell(() => 'all is calm from here on')
  calmDown(world)
  // One lease that nobody renews any more, the grace after a fail-over, and what an attempt may take.
  const isSettled = () => world.members.filter(({ leads }) => leads).length === 1
  await runUntil(world, checks, isSettled, 2 * ttlMs + 1_000)
  checks.somebodyLeads()
  if (number % CALM_EACH === 0) await keepCalm(world, checks, ttlMs)
  await handRound(world, checks, ttlMs)
  for (const { process } of world.members) process.closing.abort(new Error('the schedule is over'))
  return {
    trace: world.trace,
    violations: checks.violations,
    terms: world.members.reduce((all, { terms }) => all + terms, 0),
  }
}

/** A leader that nothing happens to keeps its lease. */
async function keepCalm(world: World, checks: Checks, ttlMs: number): Promise<void> {
  // One whose last attempts were all in vain may lose it still.
  const isSafe = ({ leads, leadership }: Member) =>
    leads && leadership?.signal.aborted === false && leadership.remainingMs > 0.7 * ttlMs
  await runUntil(world, checks, () => world.members.some(isSafe), 2 * ttlMs)
  const leader = world.members.find(isSafe)
  const token = leader?.leadership?.token
  if (leader === undefined || token === undefined) return
  if (world.server.taken.has(token) || world.server.isToStepDown(token)) return
  await world.run(world.nowMs + 1.5 * ttlMs, checks.look)
  checks.stillLeads(leader, token)
}

/** Nobody is stuck: the others come to wait in line, and when the leader gives up, another one leads. */
async function handRound(world: World, checks: Checks, ttlMs: number): Promise<void> {
  const leader = world.members.find(({ leads }) => leads)
  const others = world.members.filter((member) => member !== leader && member.mode === 'running')
  if (leader === undefined || others.length === 0 || checks.violations.length > 0) return
  const isInLine = ({ label }: Member) =>
    world.server.rules
      .line('job', world.serverClock.trueMs)
      .some(({ candidate }) => candidate.startsWith(`${label}:`))
  await runUntil(world, checks, () => others.every(isInLine) || !leader.leads, 2 * ttlMs + 1_000)
  // One whose last attempts were all in vain has lost it meanwhile, and stands in line with the others; another has obeyed a request to
  // step down that it has read only now, and who was handed the lease may not have heard of it yet.
  if (!leader.leads) return
  checks.allWait(others.filter((member) => !isInLine(member) && !member.leads))
  world.tell(() => `${leader.label} is asked to resign`)
  void leader.election.resign()
  // The first in line may be one that has died: its time to accept goes by, then the next is first.
  await runUntil(world, checks, () => others.some(({ leads }) => leads), 2 * ttlMs + 1_000)
  checks.anotherLeads(leader)
}

/** Until it is so, or the time is up. */
async function runUntil(world: World, checks: Checks, isSo: () => boolean, longestMs: number): Promise<void> {
  const untilMs = world.nowMs + longestMs
  while (world.nowMs < untilMs && !isSo()) {
    await world.run(Math.min(untilMs, world.nowMs + longestMs / 20), checks.look)
  }
}

/** A fail-over goes back to one of the last moments. */
const pasts = new WeakMap<World, { atMs: number; past: ReturnType<World['server']['past']> }[]>()

function keepPasts(world: World, { troubles, ttlMs }: Schedule): void {
  const failOver = troubles.find(({ trouble }) => trouble.kind === 'fail over')
  if (failOver?.trouble.kind !== 'fail over') return
  const atMs = Math.max(0, failOver.atMs - failOver.trouble.lostMs)
  world.at(Math.min(atMs, failOver.atMs - ttlMs / 1_000), () => {
    pasts.set(world, [{ atMs: world.nowMs, past: world.server.past() }])
  })
}

function begin(world: World, trouble: Trouble): void {
  const { members, server } = world
  const member = 'who' in trouble ? members[trouble.who % members.length] : undefined
  if ('who' in trouble && member === undefined) return
  const later = (lastsMs: number, end: () => void) => world.at(world.nowMs + lastsMs, end)
  if (trouble.kind === 'set server clock') server.step(trouble.byMs)
  else if (trouble.kind === 'fail over') {
    const [kept] = pasts.get(world) ?? []
    if (kept !== undefined) server.failOver(kept.past, trouble.byMs)
    for (const one of members) world.disconnect(one)
  } else if (trouble.kind === 'force') server.force('job')
  else if (trouble.kind === 'ask to step down') server.requestStepDown('job')
  else if (member === undefined || member.mode === 'dead') return
  else if (trouble.kind === 'pause') {
    world.setMode(member, trouble.mode)
    later(trouble.lastsMs, () => world.setMode(member, 'running'))
  } else if (trouble.kind === 'die') {
    world.setMode(member, 'dead')
    later(world.server.rules.settings.longestTtl / 2, () => void world.join(0, 1))
  } else if (trouble.kind === 'cut') {
    const { way } = trouble
    member.wire = { ...member.wire, up: way === 'down', down: way === 'up' }
    later(trouble.lastsMs, () => {
      member.wire = { ...calm }
    })
  } else if (trouble.kind === 'refuse') {
    member.wire = { ...member.wire, refuses: true }
    world.disconnect(member)
    later(trouble.lastsMs, () => {
      member.wire = { ...calm }
    })
  } else if (trouble.kind === 'slow') {
    member.wire = { ...member.wire, delayMsMax: trouble.delayMsMax }
    later(trouble.lastsMs, () => {
      member.wire = { ...calm }
    })
  } else if (trouble.kind === 'lose answers') {
    member.wire = { ...member.wire, lostAnswers: trouble.ofHundred }
    later(trouble.lastsMs, () => {
      member.wire = { ...calm }
    })
  } else if (trouble.kind === 'disconnect') world.disconnect(member)
  else if (trouble.kind === 'set wall clock') {
    member.isAstray = true
    member.process.clock.stepWall(trouble.byMs)
  } else if (member.mode !== 'running') return
  else if (trouble.kind === 'resign') void member.election.resign()
  else void member.election.transfer().catch(() => undefined)
}

function calmDown(world: World): void {
  for (const member of world.members) {
    member.wire = { ...calm }
    world.setMode(member, 'running')
    // What was lost on the way is lost with its connection.
    world.disconnect(member)
  }
}
