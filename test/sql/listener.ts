import { randomBytes } from 'node:crypto'
import type pg from 'pg'

/** What a lease says on its channels. */
export interface Announcement {
  readonly event: string
  readonly name: string
  readonly holder: string | null
  readonly token: number
  readonly previous_holder: string | null
}

/** Hears what is told on the channels of its session. */
export class Listener {
  /** A channel of its own: other listeners of the same database use theirs. */
  readonly #barrier = `elect_test_barrier_${randomBytes(6).toString('hex')}`
  readonly #client: pg.Client
  readonly #heard: pg.Notification[] = []
  #wake: () => void = () => {}

  constructor(client: pg.Client) {
    this.#client = client
    client.on('notification', (notification) => {
      this.#heard.push(notification)
      this.#wake()
    })
  }

  /**
   * All that was told since the last call, by channel. Messages come in the order of the commits, so when the one
   * arrives that is sent here, whatever was committed before it has arrived too.
   */
  async heard(): Promise<Map<string, Announcement[]>> {
    await this.#client.query(`LISTEN ${this.#barrier}`)
    await this.#client.query(`NOTIFY ${this.#barrier}`)
    while (this.#heard.at(-1)?.channel !== this.#barrier) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const byChannel = new Map<string, Announcement[]>()
    for (const { channel, payload } of this.#heard.splice(0).slice(0, -1)) {
      byChannel.set(channel, [...(byChannel.get(channel) ?? []), JSON.parse(String(payload))])
    }
    return byChannel
  }
}
