interface Event {
  readonly atMs: number
  readonly number: number
  readonly run: () => void
}

/** What is to happen, the next first (a heap). What is set for one moment happens in the order in which it was set. */
export class EventQueue {
  readonly #events: Event[] = []
  #count = 0

  /** Infinite: nothing. */
  get nextAtMs(): number {
    return this.#events[0]?.atMs ?? Number.POSITIVE_INFINITY
  }

  add(atMs: number, run: () => void): void {
    const event = { atMs, number: this.#count++, run }
    const events = this.#events
    let index = events.length
    events.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(events[parent] as Event, event)) break
      events[index] = events[parent] as Event
      index = parent
    }
    events[index] = event
  }

  /** Takes the next one out. */
  take(): () => void {
    const events = this.#events
    const [first] = events
    const last = events.pop()
    if (first === undefined || last === undefined) throw new Error('nothing is to happen')
    if (events.length === 0) return first.run
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= events.length) break
      if (child + 1 < events.length && isBefore(events[child + 1] as Event, events[child] as Event))
        child += 1
      if (isBefore(last, events[child] as Event)) break
      events[index] = events[child] as Event
      index = child
    }
    events[index] = last
    return first.run
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.number < other.number)
}
