import { once } from 'node:events'
import {
  type AddressInfo,
  connect,
  createServer,
  type NetConnectOpts,
  type Server,
  type Socket,
} from 'node:net'
import pg from 'pg'

/** How the way to the database is broken: connections end, or nothing passes and nobody is told. */
export type Cut = 'dropped' | 'held'

/** The way of one worker to the database, which can be cut. */
export class Wire implements AsyncDisposable {
  readonly #target: NetConnectOpts
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #cut: Cut | undefined

  private constructor(target: NetConnectOpts) {
    this.#target = target
    this.#server = createServer((near) => this.#join(near))
  }

  static async open(connectionString: string): Promise<Wire> {
    const wire = new Wire(addressOf(connectionString))
    wire.#server.listen(0, '127.0.0.1')
    await once(wire.#server, 'listening')
    return wire
  }

  /** How to reach the database through this wire. */
  through(connectionString: string): string {
    const url = new URL(connectionString)
    url.searchParams.delete('host')
    url.searchParams.delete('port')
    url.hostname = '127.0.0.1'
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  cut(how: Cut): void {
    this.#cut = how
    for (const socket of this.#sockets) {
      if (how === 'dropped') socket.destroy()
      else socket.pause()
    }
  }

  /** What was held goes on its way now, late as it is. */
  letGo(): void {
    this.#cut = undefined
    for (const socket of this.#sockets) socket.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #join(near: Socket): void {
    if (this.#cut === 'dropped') return void near.destroy()
    const far = connect(this.#target)
    this.#pass(near, far)
    this.#pass(far, near)
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.setNoDelay(true)
    from.on('data', (bytes) => void to.write(bytes))
    if (this.#cut === 'held') from.pause()
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.once('close', () => {
      this.#sockets.delete(from)
      to.destroySoon()
    })
  }
}

/** Where the driver would connect to. */
function addressOf(connectionString: string): NetConnectOpts {
  const { host, port } = new pg.Client({ connectionString })
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
}
