/** What is due when, for very many: a binary heap, so that the next one is found without a look at all others. */
interface Entry<Item> {
  readonly atMs: number
  readonly item: Item
}

export class Schedule<Item> {
  /** Each entry is due no later than the two at twice its place. */
  readonly #heap: Entry<Item>[] = []

  get size(): number {
    return this.#heap.length
  }

  /** When the next one is due; infinite: there is none. */
  get nextAtMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY
  }

  add(atMs: number, item: Item): void {
    const heap = this.#heap
    let place = heap.length
    const entry = { atMs, item }
    heap.push(entry)
    while (place > 0) {
      const above = (place - 1) >> 1
      const other = heap[above] as Entry<Item>
      if (other.atMs <= atMs) break
      heap[place] = other
      place = above
    }
    heap[place] = entry
  }

  /** The one that is due first, if that is due by then. */
  take(byMs: number): Entry<Item> | undefined {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined || first.atMs > byMs) return undefined
    const last = heap.pop() as Entry<Item>
    if (heap.length > 0) this.#sink(last)
    return first
  }

  #sink(entry: Entry<Item>): void {
    const heap = this.#heap
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && atMsOf(heap, below + 1) < atMsOf(heap, below)) below += 1
      if (atMsOf(heap, below) >= entry.atMs) break
      heap[place] = heap[below] as Entry<Item>
      place = below
    }
    heap[place] = entry
  }
}

function atMsOf(heap: readonly Entry<unknown>[], place: number): number {
  return (heap[place] as Entry<unknown>).atMs
}
