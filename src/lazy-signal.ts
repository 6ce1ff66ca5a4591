/** A signal that is made once somebody asks for it. Most leases of a busy process are given back before anybody does. */
export class LazySignal {
  #controller: AbortController | undefined
  #reason: (() => unknown) | undefined

  /** The same one each time; aborted if {@link abort} was called before. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason())
    }
    return this.#controller.signal
  }

  get isAborted(): boolean {
    return this.#reason !== undefined
  }

  /** Only the first time counts. @param reason - makes the reason, if anybody is to be told */
  abort(reason: () => unknown): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    this.#controller?.abort(reason())
  }
}
