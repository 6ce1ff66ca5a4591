import type { NetConnectOpts } from 'node:net'
import pg from 'pg'
import { FaultProxy } from '../../test/faults/support/fault-proxy.ts'

/** How the way to the database is broken: connections end, or nothing passes and nobody is told. */
export type Cut = 'dropped' | 'held'

/** The way of one worker to the database, which can be cut. */
export class Wire implements AsyncDisposable {
  readonly #proxy: FaultProxy

  private constructor(proxy: FaultProxy) {
    this.#proxy = proxy
  }

  static async open(connectionString: string): Promise<Wire> {
    return new Wire(await FaultProxy.open(addressOf(connectionString)))
  }

  /** How to reach the database through this wire. */
  through(connectionString: string): string {
    return this.#proxy.through(connectionString)
  }

  cut(how: Cut): void {
    if (how === 'dropped') this.#proxy.refuse()
    else for (const direction of ['up', 'down'] as const) this.#proxy.hold(direction)
  }

  /** What was held goes on its way now, late as it is. */
  letGo(): void {
    this.#proxy.letGo()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy.close()
  }
}

/** Where the driver would connect to. */
function addressOf(connectionString: string): NetConnectOpts {
  const { host, port } = new pg.Client({ connectionString })
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
}
