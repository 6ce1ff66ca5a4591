import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Direction } from './schedule.ts'

/** A TCP proxy that can hold what goes in one direction, as a network does that stalls without breaking. */
export interface HoldingProxy {
  readonly port: number
  readonly holding: boolean
  hold(direction: Direction): void
  /** Delivers what was held, in order. */
  letGo(): void
  close(): Promise<void>
}

export async function startProxy(
  target: { host: string; port: number },
  listenOn = 0,
): Promise<HoldingProxy> {
  const held = new Set<Direction>()
  let waiting: (() => void)[] = []
  const sockets = new Set<Socket>()

  const deliver = (direction: Direction, action: () => void) => {
    if (held.has(direction)) waiting.push(action)
    else action()
  }
  const pass = (from: Socket, to: Socket, direction: Direction) => {
    sockets.add(from)
    from.setNoDelay(true)
    from.on('data', (chunk) => deliver(direction, () => void (to.destroyed || to.write(chunk))))
    from.on('error', () => {})
    // The end of a connection is news too, and waits in line.
    from.on('close', () => {
      sockets.delete(from)
      deliver(direction, () => void to.destroySoon())
    })
  }

  const server = createServer((client) => {
    const upstream = connect(target)
    pass(client, upstream, 'up')
    pass(upstream, client, 'down')
  }).listen(listenOn, '127.0.0.1')
  await once(server, 'listening')

  const letGo = () => {
    held.clear()
    const actions = waiting
    waiting = []
    for (const action of actions) action()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get holding() {
      return held.size > 0
    },
    hold: (direction) => void held.add(direction),
    letGo,
    close: async () => {
      letGo()
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
