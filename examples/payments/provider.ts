/**
 * A payment provider as there are many: it takes orders over HTTP, honours idempotency keys, takes its time, and sometimes charges
 * but the answer is lost on its way. Here it also counts what nobody outside of it can know: how often each invoice was charged.
 */
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { between, seededRandom } from '../support/random.ts'

const DELAY_MS_MIN = 30
const DELAY_MS_MAX = 250
const LOST_PART = 0.15

/** What the provider is asked for. */
export interface Order {
  readonly invoice: number
  readonly cents: number
}

/** What it answers. */
export interface Charge {
  readonly charge: string
}

export class Provider implements AsyncDisposable {
  requests = 0
  /** Requests with a key that had come before: answered as then, and nothing charged. */
  repeated = 0
  answersLost = 0
  readonly #seed: number
  readonly #server: Server
  readonly #events = new EventEmitter()
  readonly #requestsOf = new Map<number, number>()
  readonly #chargesOf = new Map<number, number>()
  readonly #byKey = new Map<string, Promise<Charge>>()
  readonly #underway = new Set<Promise<void>>()

  private constructor(seed: number) {
    this.#seed = seed
    this.#server = createServer((request, response) => {
      const handling = this.#handle(request, response).catch(() => void response.destroy())
      this.#underway.add(handling)
      void handling.finally(() => this.#underway.delete(handling))
    })
  }

  static async open(seed: number): Promise<Provider> {
    const provider = new Provider(seed)
    provider.#server.listen(0, '127.0.0.1')
    await once(provider.#server, 'listening')
    return provider
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/charges`
  }

  /** How often an invoice was charged. */
  chargesOf(invoice: number): number {
    return this.#chargesOf.get(invoice) ?? 0
  }

  /** Resolves when the next request comes. */
  async nextRequest(signal: AbortSignal): Promise<void> {
    await once(this.#events, 'request', { signal })
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underway)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await this.settled()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = request.headers['idempotency-key']
    const order = (await json(request)) as Order
    if (typeof key !== 'string') {
      response.writeHead(400).end()
      return
    }
    this.requests += 1
    this.#events.emit('request')
    const nth = (this.#requestsOf.get(order.invoice) ?? 0) + 1
    this.#requestsOf.set(order.invoice, nth)
    const random = seededRandom(this.#seed, `request ${nth} for invoice ${order.invoice}`)
    const isLost = random() < LOST_PART
    const beforeMs = between(random, 0, DELAY_MS_MAX / 2)
    const afterMs = between(random, DELAY_MS_MIN, DELAY_MS_MAX / 2)

    let charging = this.#byKey.get(key)
    if (charging === undefined) {
      // Kept from the beginning: the repetition may come while the first is still under way.
      charging = this.#charge(order, beforeMs)
      this.#byKey.set(key, charging)
    } else {
      this.repeated += 1
    }
    const charge = await charging
    await delay(afterMs)
    if (isLost) {
      this.answersLost += 1
      response.destroy()
    } else {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(charge))
    }
  }

  /** Does not look whether the one who asked is still there: no provider can tell in time. */
  async #charge({ invoice }: Order, afterMs: number): Promise<Charge> {
    await delay(afterMs)
    const nth = this.chargesOf(invoice) + 1
    this.#chargesOf.set(invoice, nth)
    return { charge: `charge-${invoice}-${nth}` }
  }
}
