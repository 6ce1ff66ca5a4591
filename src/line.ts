/**
 * The places in line of one process: keeps them by the heartbeat, and wakes a candidate when the database says that it was handed the
 * lease, or should look.
 *
 * The database tells only the session of the candidate that it granted the lease to, so of a thousand who wait one wakes.
 */
import type { Heartbeat, Refreshable } from './heartbeat.ts'
import type { Notifier } from './notifier.ts'
import type { Candidacy, Executor } from './queries.ts'
import type { Timing } from './timing.ts'

/** A candidate that asks for a lease, and waits for it if it is given a place. */
export interface Waiting {
  readonly name: string
  readonly holder: string
  readonly timing: Timing
  /** Something concerns it: it should look how it stands. */
  readonly wake: () => void
  /** So it stood when its place was refreshed: as good as a look. */
  readonly stands: (candidacy: Candidacy) => void
}

/** A candidate in the eyes of its line. */
export interface Standing {
  /** Whether it has been given a place. */
  readonly isKept: boolean
  /** It has been given a place, which is kept from now on. Again: nothing. */
  keep(): void
  /** Ends both, here; the database is told by `leaveQueue`. */
  end(): void
}

export class Line {
  readonly #heartbeat: Heartbeat
  readonly #notifier: Notifier
  readonly #places = new Map<string, Place>()
  #isWatching = false

  constructor(heartbeat: Heartbeat, notifier: Notifier) {
    this.#heartbeat = heartbeat
    this.#notifier = notifier
  }

  /** Whether a hand-off would be heard of at once. */
  get isHeard(): boolean {
    return this.#notifier.hearsSession
  }

  /** The session that is to be told of hand-offs; undefined: the one that asks. */
  get backend(): number | undefined {
    return this.#notifier.backend
  }

  /** By which to refresh the places: see {@link Notifier.lookingBy}. */
  askingBy(executor: Executor): Executor {
    return this.#notifier.lookingBy(executor)
  }

  /** Before it asks: whoever gives the lease back next may hand it over so soon that the word of it comes together with the answer. */
  expect(candidate: Waiting): Standing {
    const place = new Place(candidate, this)
    this.#places.set(candidate.holder, place)
    let isKept = false
    return {
      get isKept() {
        return isKept
      },
      keep: () => {
        if (isKept) return
        isKept = true
        this.#heartbeat.add(place)
        this.#listen()
      },
      end: () => {
        if (isKept) this.#heartbeat.remove(place)
        if (this.#places.get(candidate.holder) === place) this.#places.delete(candidate.holder)
      },
    }
  }

  /** The places are to be told in another session from now on, which the database has to know. */
  moved(): void {
    this.#heartbeat.hurry()
  }

  #listen(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    this.#notifier.watchSession((message) => this.#told(message))
  }

  #told(message: string | undefined): void {
    if (message === undefined && this.backend !== undefined) this.moved()
    const { name, holder } = message === undefined ? {} : parse(message)
    // Handed to one of them; or vacated, and one of them is first.
    if (typeof holder === 'string') {
      this.#places.get(holder)?.wake()
      return
    }
    for (const place of this.#places.values()) {
      if (name === undefined || place.name === name) place.wake()
    }
  }
}

class Place implements Refreshable {
  readonly name: string
  readonly holder: string
  readonly timing: Timing
  readonly #waiting: Waiting
  readonly #line: Line

  constructor(waiting: Waiting, line: Line) {
    this.#waiting = waiting
    this.#line = line
    this.name = waiting.name
    this.holder = waiting.holder
    this.timing = waiting.timing
  }

  get backend(): number | undefined {
    return this.#line.backend
  }

  askingBy(executor: Executor): Executor {
    return this.#line.askingBy(executor)
  }

  wake(): void {
    this.#waiting.wake()
  }

  stands(candidacy: Candidacy): void {
    // Granted: the word of it was not heard. No rank: its place is gone. Deaf since its last look: it has begun too long a wait.
    if (candidacy.granted === true || candidacy.rank === null || !this.#line.isHeard) this.wake()
    else this.#waiting.stands(candidacy)
  }
}

/** Anybody can send a notification: what is in it only says where to look. */
function parse(message: string): { name?: unknown; holder?: unknown } {
  try {
    const parsed: unknown = JSON.parse(message)
    return typeof parsed === 'object' && parsed !== null ? parsed : {}
  } catch {
    return {}
  }
}
