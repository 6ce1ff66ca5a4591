/**
 * A TCP proxy that does to connections what networks do: it stalls them, swallows what they carry without a word, slows them down,
 * breaks them, and tears them in the middle of an answer.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'
import { Pipe } from './pipe.ts'

/** `up`: from the client to the server; `down`: from the server to the client. */
export type Direction = 'up' | 'down'

/** How a connection is torn: by a reset, by an orderly end in the wrong place, or by silence. */
export type Tear = 'reset' | 'end' | 'silence'

const DIRECTIONS: readonly Direction[] = ['up', 'down']

/** A cut that has not come yet. */
interface Cut {
  readonly direction: Direction
  readonly tear: Tear
  bytesLeft: number
  done(): void
}

/** A connection through the proxy: two sockets, and what goes each way. */
interface Passage {
  readonly near: Socket
  readonly far: Socket
  readonly pipes: Readonly<Record<Direction, Pipe>>
}

export class FaultProxy implements AsyncDisposable {
  readonly #target: NetConnectOpts
  readonly #host: string
  readonly #server = createServer((near) => this.#join(near))
  readonly #passages = new Set<Passage>()
  /** Connections that were taken while nothing went up: to their server they never were. */
  readonly #unheard = new Set<Socket>()
  readonly #held = new Set<Direction>()
  readonly #dropped = new Set<Direction>()
  readonly #delayMs = { up: 0, down: 0 }
  readonly #bytes = { up: 0, down: 0 }
  #cut: Cut | undefined
  #refuses = false
  #joined = 0

  private constructor(target: NetConnectOpts, host: string) {
    this.#target = target
    this.#host = host
  }

  /**
   * @param port - where to listen; by default wherever there is room
   * @param host - the address to listen at
   */
  static async open(target: NetConnectOpts, port = 0, host = '127.0.0.1'): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, host)
    proxy.#server.listen(port, host)
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** In front of a database that is reached by TCP. */
  static to(connectionString: string, port = 0, host = '127.0.0.1'): Promise<FaultProxy> {
    const { hostname, port: targetPort } = new URL(connectionString)
    return FaultProxy.open({ host: hostname, port: Number(targetPort || 5432) }, port, host)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get holding(): boolean {
    return this.#held.size > 0
  }

  /** How many connections there have been. */
  get connections(): number {
    return this.#joined
  }

  /** How many bytes have come in from that side, over all connections. */
  bytes(direction: Direction): number {
    return this.#bytes[direction]
  }

  /** How to reach the database through this proxy. */
  through(connectionString: string): string {
    const url = new URL(connectionString)
    url.searchParams.delete('host')
    url.searchParams.delete('port')
    url.hostname = this.#host
    url.port = String(this.port)
    return url.href
  }

  /** Keeps what goes that way, as a network does that stalls without breaking. */
  hold(direction: Direction): void {
    this.#held.add(direction)
  }

  /** Delivers what was held, in order. */
  letGo(): void {
    this.#held.clear()
    this.#refuses = false
    for (const { pipes } of this.#passages) for (const pipe of Object.values(pipes)) pipe.pump()
  }

  /**
   * Swallows what goes that way, ends of connections included: nobody is told. A connection that has lost something stays silent that
   * way for good, as nothing in it would make sense any more.
   */
  drop(...directions: Direction[]): void {
    for (const direction of directions.length === 0 ? DIRECTIONS : directions) this.#dropped.add(direction)
  }

  /** What comes from now on goes that way so much later. */
  delay(direction: Direction, delayMs: number): void {
    this.#delayMs[direction] = delayMs
  }

  /** Everything passes again; what was held is delivered, what was swallowed is lost. A cut that has not come is called off. */
  pass(): void {
    this.#dropped.clear()
    this.#delayMs.up = this.#delayMs.down = 0
    this.#cut = undefined
    this.letGo()
  }

  /** Breaks all connections, as a server does that is restarted. */
  reset(): void {
    for (const passage of this.#passages) tearApart(passage, 'reset')
    for (const near of this.#unheard) near.resetAndDestroy()
  }

  /** Breaks all connections, and takes no new ones until `letGo` or `pass`. */
  refuse(): void {
    this.#refuses = true
    this.reset()
  }

  /**
   * Tears the connection on which that many more bytes have come that way: they are delivered, the next one is not.
   *
   * @returns resolves when it has happened
   */
  cutAfter(direction: Direction, bytes: number, tear: Tear = 'reset'): Promise<void> {
    return new Promise((resolve) => {
      this.#cut = { direction, tear, bytesLeft: bytes, done: resolve }
    })
  }

  async close(): Promise<void> {
    for (const { near, far } of this.#passages) {
      near.destroy()
      far.destroy()
    }
    for (const near of this.#unheard) near.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #join(near: Socket): void {
    this.#joined += 1
    near.on('error', () => {})
    if (this.#refuses) return void near.resetAndDestroy()
    if (this.#dropped.has('up')) {
      this.#unheard.add(near)
      near.resume().on('close', () => this.#unheard.delete(near))
      return
    }
    const far = connect(this.#target)
    const passage: Passage = {
      near,
      far,
      pipes: {
        up: new Pipe(far, () => this.#held.has('up')),
        down: new Pipe(near, () => this.#held.has('down')),
      },
    }
    this.#passages.add(passage)
    this.#carry(passage, near, 'up')
    this.#carry(passage, far, 'down')
  }

  #carry(passage: Passage, from: Socket, direction: Direction): void {
    const pipe = passage.pipes[direction]
    from.setNoDelay(true)
    from.on('error', () => {})
    from.on('data', (chunk) => {
      this.#bytes[direction] += chunk.length
      if (this.#dropped.has(direction)) pipe.silence()
      const { kept, tear } = this.#cutFrom(passage, direction, chunk)
      // The tear comes after what comes before it has left: a reset would overtake it.
      pipe.push((to) => void to.write(kept, tear), this.#delayMs[direction])
      if (tear !== undefined) pipe.silence()
    })
    // The end of a connection is news too, and waits in line.
    from.on('close', () => {
      if (this.#dropped.has(direction)) pipe.silence()
      pipe.push((to) => to.destroySoon(), this.#delayMs[direction])
      if (passage.near.destroyed && passage.far.destroyed) this.#passages.delete(passage)
    })
  }

  /** What is left of a chunk, and what is to be done after it, if the connection is to be torn in it. */
  #cutFrom(passage: Passage, direction: Direction, chunk: Buffer): { kept: Buffer; tear?: () => void } {
    const cut = this.#cut
    if (cut === undefined || cut.direction !== direction) return { kept: chunk }
    if (chunk.length <= cut.bytesLeft) {
      cut.bytesLeft -= chunk.length
      return { kept: chunk }
    }
    this.#cut = undefined
    return {
      kept: chunk.subarray(0, cut.bytesLeft),
      tear: () => {
        tearApart(passage, cut.tear)
        cut.done()
      },
    }
  }
}

function tearApart({ near, far, pipes }: Passage, how: Tear): void {
  for (const pipe of Object.values(pipes)) pipe.silence()
  for (const socket of how === 'silence' ? [] : [near, far]) {
    if (how === 'reset') socket.resetAndDestroy()
    else socket.destroySoon()
  }
}
