import type { Mutant } from '../mutant.ts'

const tests = ['test/unit/worker-heartbeat.test.ts']

/** The heartbeat in a thread of its own: DESIGN 4.1. */
export const clientWorker: readonly Mutant[] = [
  {
    name: 'hung-leader-leads-for-ever',
    file: 'src/worker-heartbeat/thread-heartbeat.ts',
    from: 'this.#hangTimer = clock.setTimer(() => this.#giveUp(),',
    to: 'this.#hangTimer = clock.setTimer(() => undefined,',
    costs: 'a process that hangs in an endless loop keeps its lease, and does nothing with it',
    tests,
    isQuick: true,
  },
  {
    name: 'thread-that-was-stopped-blames-the-main-loop',
    file: 'src/worker-heartbeat/thread-heartbeat.ts',
    from: 'if (!this.#hasHadTime) {',
    to: 'if (false) {',
    costs:
      'a process that was stopped for a while loses leases with a long ttl, though its main loop is well',
    tests,
  },
  {
    name: 'thread-takes-itself-for-the-main-loop',
    file: 'src/worker-heartbeat/thread-heartbeat.ts',
    from: 'this.#aliveAtMs = Math.max(this.#aliveAtMs, at.monotonicMs)',
    to: 'this.#aliveAtMs = this.#nowMs()',
    costs: 'what the main loop said before it hung counts as a sign of life when it is read',
    tests,
  },
  {
    name: 'news-wait-for-the-event-loop',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: '    this.#receiveAll()\n    const entry',
    to: '    const entry',
    costs:
      'in a blocked turn a leader loses a lease that its thread has renewed, or trusts one that was taken away',
    tests,
  },
  {
    name: 'renewal-after-the-hang-counts',
    file: 'src/worker-heartbeat/thread-heartbeat.ts',
    from: 'if (!this.#isGivenUp) this.#tell(',
    to: 'this.#tell(',
    costs: 'a lease that was given up as hung is believed to be held again',
    tests,
  },
  {
    name: 'hang-is-not-told',
    file: 'src/worker-heartbeat/thread-heartbeat.ts',
    from: "    this.#tell({ kind: 'hung', id: this.#id })\n",
    to: '',
    costs: 'a lease that nobody renews any more is trusted until its deadline',
    tests,
  },
  {
    name: 'renewal-goes-before-the-refusal',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'if (refusal !== undefined) lease.refused(refusal)\n    else if',
    to: 'if (refusal !== undefined && extensions.length === 0) lease.refused(refusal)\n    else if',
    costs: 'a lease that was renewed once and then taken away is trusted on',
    tests,
  },
  {
    name: 'only-the-last-renewal-is-told',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'entry.extensions.push(news)',
    to: 'entry.extensions = [news]',
    costs: 'a lease that was renewed all the while is taken for one that was lost in between',
    tests,
  },
  {
    name: 'nobody-renews-for-a-thread-that-failed',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'for (const lease of this.#entries.keys()) mainHeartbeat.add(lease, 0)',
    to: '',
    costs: 'a thread that fails takes all leases with it',
    tests,
  },
  {
    name: 'new-lease-of-a-thread-that-failed',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'this.#hasFailed = true',
    to: 'this.#hasFailed = false',
    costs: 'leases that are granted after the thread has failed are left to it, and renewed late',
    tests,
  },
  {
    name: 'nobody-stands-in-for-a-thread-that-is-late',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'mainHeartbeat.add(entry.standIn, withinMs * STAND_IN_FACTOR)',
    to: '',
    costs: 'a thread that cannot connect loses leases that the main loop could renew',
    tests,
  },
  {
    name: 'main-loop-beats-beside-the-thread',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: 'if (this.#entries.has(lease)) this.#dependencies.mainHeartbeat.add(entry.standIn)',
    to: '',
    costs: 'each lease is renewed twice as often, over two connections',
    tests,
  },
  {
    name: 'pings-are-not-answered',
    file: 'src/worker-heartbeat/worker-heartbeat.ts',
    from: "if (report.kind === 'ping') thread.post({ kind: 'alive', at: clock.now() })",
    to: "if (report.kind === 'ping') clock.now()",
    costs: 'a leader that is well is taken for hung',
    tests,
  },
]
