import type { Mutant } from '../mutant.ts'

const folder = 'test/integration/client/primitives'

/** What is built of leases: mutexes, locks, barriers, registers, partitions. */
export const clientPrimitives: readonly Mutant[] = [
  {
    name: 'barrier-in-its-grace-is-passed',
    file: 'src/primitives/barrier.ts',
    from: 'if (barrier.lease === null && barrier.graceMs === null) return',
    to: 'if (barrier.lease === null) return',
    costs: 'a barrier whose raising was lost by a fail-over is passed, while whoever raised it trusts it',
    tests: ['test/integration/client/grace.test.ts'],
  },
  {
    name: 'party-goes-in-before-the-others',
    file: 'src/primitives/double-barrier.ts',
    from: 'if (entered.openedToken >= entered.share.token) return entered',
    to: 'return entered',
    costs: 'what all were to begin together is begun by one',
    tests: [`${folder}/double-barrier.test.ts`],
  },
  {
    name: 'party-goes-out-before-the-others',
    file: 'src/primitives/double-barrier.ts',
    from: 'if (shares.length === 0) return',
    to: 'if (shares.length >= 0) return',
    costs: 'what all were to end together is ended by one',
    tests: [`${folder}/double-barrier.test.ts`],
  },
  {
    name: 'lost-fast-mutex-is-held',
    file: 'src/primitives/fast-mutex.ts',
    from: '      lock.lose()\n',
    to: '',
    costs:
      'two are in a critical section, as the server has freed the lock of the one whose connection was lost',
    tests: [`${folder}/mutex.test.ts`],
  },
  {
    name: 'connection-with-a-lock-is-lent-again',
    file: 'src/primitives/lock-queue.ts',
    from: 'else context.sessions.discard(session)',
    to: 'else context.sessions.giveBack(session)',
    costs: 'a mutex stays locked in the server by a connection that nobody uses',
    tests: [`${folder}/mutex.test.ts`],
  },
  {
    name: 'semaphore-without-a-limit',
    file: 'src/primitives/semaphore.ts',
    from: 'return { isExclusive: false, capacity: this.#permits }',
    to: 'return { isExclusive: false, capacity: 1e9 + this.#permits }',
    costs: 'everybody is let in',
    tests: [`${folder}/semaphore.test.ts`],
  },
  {
    name: 'expiry-is-not-looked-at',
    file: 'src/primitives/looks.ts',
    from: 'if (expiryMs !== null) delayMs = Math.min(',
    to: 'if (expiryMs === 0) delayMs = Math.min(',
    costs: 'who watches a value sees its expiry, which sends no word, a TTL late',
    tests: [`${folder}/register.test.ts`],
  },
  {
    name: 'every-write-is-a-change',
    file: 'src/primitives/register.ts',
    from: 'if (token === told) continue',
    to: 'if (told === 0) continue',
    costs: 'who watches a value is told of nothing new, again and again',
    tests: [`${folder}/register.test.ts`],
  },
  {
    name: 'partition-is-worked-on-twice-at-once',
    file: 'src/primitives/owned-partitions.ts',
    from: '    await settled\n    this.#owned.delete(partition)',
    to: '    this.#owned.delete(partition)',
    costs: 'work that does not stop in time runs beside itself when the partition comes back',
    tests: [`${folder}/partitions.test.ts`],
  },
  {
    name: 'partition-is-given-back-under-its-work',
    file: 'src/primitives/owned-partitions.ts',
    from: 'void owned?.lease.end(new ResignedError(info.lease), this.#drainMs)',
    to: 'void owned?.lease.release()',
    costs: 'the next member begins while the last one still works',
    tests: [`${folder}/partitions.test.ts`],
  },
]
