import type { Mutant } from '../mutant.ts'

const tests = ['test/unit/session-keeper.test.ts']
const file = 'src/kept-session.ts'

/** The session by which a client keeps its leases. */
export const clientSessions: readonly Mutant[] = [
  {
    name: 'bound-to-a-session-that-ends-before',
    file,
    from: '.filter(([, { sinceMs }]) => sinceMs <= session.sentAtMs)',
    to: '',
    costs: 'a lease is trusted for longer than the session lasts that it is bound to',
    tests,
  },
  {
    name: 'session-is-trusted-from-its-answer-on',
    file,
    from: 'if (entry.session === session) lease.extended(sentAt,',
    to: 'if (entry.session === session) lease.extended(clock.now(),',
    costs: 'after a slow answer all leases of a process are trusted beyond their expiry',
    tests,
    isQuick: true,
  },
  {
    name: 'session-speaks-for-leases-that-it-does-not-keep',
    file,
    from: 'if (entry.session === session) lease.extended(',
    to: 'if (session !== undefined) lease.extended(',
    costs:
      'a lease that could not be bound is trusted for as long as the session goes on, and expires in the database',
    tests,
  },
  {
    name: 'losses-go-unheard',
    file,
    from: '      this.#unbind(answer.lost)\n',
    to: '',
    costs: 'a lease that an operator took away is held on here, beside whoever has it now',
    tests,
  },
  {
    name: 'ended-session-is-asked-again',
    file,
    from: 'else this.#loseAll(leases.map(([lease]) => lease))',
    to: 'else this.#postpone()',
    costs: 'leases that others may have already are worked under until their deadline',
    tests,
  },
  {
    name: 'fail-over-costs-all-leases',
    file,
    from: 'if (answer.mustReopen) for',
    to: 'if (false) for',
    costs: 'each fail-over stops all work of all processes with sessions',
    tests,
  },
  {
    name: 'what-the-session-may-keep-is-forgotten',
    file,
    from: 'if (entry?.mayBeBound !== true) return false',
    to: 'if (entry !== null) return false',
    costs: 'a lease whose release did not come through keeps everybody out for as long as the process lives',
    tests,
  },
  {
    name: 'work-that-runs-on-is-taken-its-lease',
    file: 'src/session-leftovers.ts',
    from: 'const answers = isInUse\n',
    to: 'const answers = isInUse === null\n',
    costs: 'work that does not stop in time goes on beside that of the next holder',
    tests,
  },
  {
    name: 'close-takes-the-lease-of-work-that-runs-on',
    file,
    from: 'if (this.#leases.size > 0 || this.#leftovers.areInUse) return',
    to: 'if (this.#leases.size > 0) return',
    costs: 'a client that closes lets another begin beside work that has not stopped',
    tests,
  },
  {
    name: 'no-hurry-of-the-session-after-a-loss',
    file: 'src/client.ts',
    from: '      this.#keeper?.hurry()\n',
    to: '',
    costs: 'after a lost connection a client waits for its next beat, and does not know what it has lost',
    tests: ['test/integration/client/sessions.test.ts'],
  },
  {
    name: 'session-outlives-its-client',
    file: 'src/client.ts',
    from: '    await this.#keeper?.close()\n',
    to: '',
    costs: 'each client that closes leaves a session behind',
    tests: ['test/integration/client/sessions.test.ts'],
  },
  {
    name: 'session-of-nothing-goes-on',
    file,
    from: 'if (this.#leases.size === 0 && this.#leftovers.size === 0) await this.end()\n        else ',
    to: '',
    costs: 'a process that holds nothing writes to the database for ever',
    tests,
  },
]
