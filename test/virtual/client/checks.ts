/** What must hold of the clients at every moment, whatever happens. */
import type { Member, World } from './world.ts'

/** A timer fires in whole milliseconds, and on clocks that differ a little. */
const TIMER_SLACK_MS = 2

export class Checks {
  readonly violations: string[] = []
  readonly #world: World
  readonly #ttlMs: number
  readonly #tokens = new Map<Member, number>()

  constructor(world: World, ttlMs: number) {
    this.#world = world
    this.#ttlMs = ttlMs
  }

  /** After each event. */
  readonly look = (): void => {
    if (this.violations.length > 0) return
    const { server, members } = this.#world
    let leading: Member | undefined
    for (const member of members) {
      const { leadership } = member
      if (leadership === undefined || member.mode !== 'running') continue
      this.#checkSignal(member)
      this.#checkToken(member)
      if (!member.leads) continue
      const { holder, token } = leadership
      const isExcused = server.excused.has(token)
      if (!isExcused && !server.knows('job', holder, token)) {
        this.#violated(
          `${member.label} leads under token ${token}, of which the database knows nothing any more`,
        )
      }
      if (leading !== undefined && !this.#isForced(leading) && !this.#isForced(member)) {
        this.#violated(`${leading.label} and ${member.label} lead at the same moment`)
      }
      leading = member
    }
    const [repeated] = server.repeated
    if (repeated !== undefined)
      this.#violated(`token ${repeated} was granted, which is not larger than all before`)
  }

  /** After all trouble has ended. */
  somebodyLeads(): void {
    if (this.violations.length > 0) return
    const leaders = this.#world.members.filter(({ leads }) => leads)
    if (leaders.length === 1) return
    const { leases } = this.#world.server.rules
    this.#violated(`${leaders.length} lead after all trouble has ended: ${JSON.stringify(leases.get('job'))}`)
  }

  /** All but the leader, a while after all trouble has ended. */
  allWait(missing: readonly Member[]): void {
    const [one] = missing
    if (one !== undefined)
      this.#violated(`${one.label} neither leads nor waits, though nothing is in its way`)
  }

  /** One gave up a while ago, and others waited. */
  anotherLeads(before: Member): void {
    const leader = this.#world.members.find(({ leads }) => leads)
    if (leader === undefined) this.#violated('nobody leads, long after the leader has resigned')
    else if (leader === before && this.#areEqual)
      this.#violated(`${before.label} leads again, though another waited`)
  }

  /** Else the one with the largest priority may well be the next one. */
  get #areEqual(): boolean {
    const [first, ...others] = this.#world.members
    return others.every(({ priority }) => priority === first?.priority)
  }

  /** A while of calm has passed. */
  stillLeads(leader: Member, token: number): void {
    if (leader.leads && leader.leadership?.token === token) return
    this.#violated(`${leader.label} has lost its lease, though nothing went wrong`)
  }

  /** It aborts by the deadline. After a suspend, or where a clock was set, its timer can be late: then looking tells. */
  #checkSignal(member: Member): void {
    const { leadership, isAstray, label } = member
    if (leadership === undefined || isAstray || leadership.signal.aborted) return
    // One that has just been woken has not had its turn yet.
    if (leadership.remainingMs > -TIMER_SLACK_MS || member.process.clock.nextDelayMs <= 0) return
    this.#violated(`the signal of ${label} has not aborted ${-leadership.remainingMs} ms after its deadline`)
  }

  /** Each term of a process has a larger token than its last. */
  #checkToken(member: Member): void {
    const token = member.leadership?.token ?? 0
    if (token < (this.#tokens.get(member) ?? 0)) this.#violated(`${member.label} leads under a token of old`)
    this.#tokens.set(member, token)
  }

  /** A jump of the server's clock, or an operator, ends a lease before its holder can know. */
  #isForced({ leadership }: Member): boolean {
    return leadership !== undefined && this.#world.server.taken.has(leadership.token)
  }

  #violated(what: string): void {
    if (this.violations.length > 0) return
    this.violations.push(`at ${this.#world.nowMs.toFixed(3)} ms, TTL ${this.#ttlMs} ms: ${what}`)
  }
}
