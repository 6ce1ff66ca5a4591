import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Direction, FaultProxy, type Tear } from './fault-proxy.ts'

/** Answers each line with the same line in capitals. */
let server: Server
const served: Socket[] = []
beforeAll(async () => {
  server = createServer((socket) => {
    served.push(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => socket.write(String(bytes).toUpperCase()))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => {
  for (const socket of served) socket.destroy()
  server.close()
})

/** One end of a connection. Collects what comes, so that it can be waited for. */
class Line {
  readonly socket: Socket
  text = ''
  /** A reset behind data can be seen as an end. */
  ended: 'open' | 'end' | 'reset' = 'open'

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (bytes) => {
      this.text += bytes
    })
    this.socket.on('end', () => {
      this.ended = 'end'
    })
    this.socket.on('error', () => {
      this.ended = 'reset'
    })
    onTestFinished(() => void this.socket.destroy())
  }

  say(text: string): void {
    this.socket.write(text)
  }

  async hears(text: string): Promise<void> {
    while (!this.text.includes(text)) await once(this.socket, 'data')
  }

  async closes(): Promise<string> {
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve))
    return this.ended
  }
}

async function open(): Promise<FaultProxy> {
  const proxy = await FaultProxy.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  onTestFinished(() => proxy.close())
  return proxy
}

/** A line on which nothing is in the way yet. */
async function talk(proxy: FaultProxy): Promise<Line> {
  const line = new Line(proxy.port)
  line.say('hello')
  await line.hears('HELLO')
  return line
}

/** Resolves once that many bytes have come in from a side. */
async function untilBytes(proxy: FaultProxy, direction: Direction, count: number): Promise<void> {
  while (proxy.bytes(direction) < count) await new Promise(setImmediate)
}

test('passes what comes either way, and counts it', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  expect([proxy.bytes('up'), proxy.bytes('down'), proxy.connections]).toEqual([5, 5, 1])
  line.socket.end()
  expect(await line.closes()).toBe('end')
})

test.each<Direction>(['up', 'down'])('holds what goes %s, and delivers it in order', async (direction) => {
  const proxy = await open()
  const line = await talk(proxy)
  proxy.hold(direction)
  expect(proxy.holding).toBe(true)
  line.say('one ')
  await untilBytes(proxy, direction, 9)
  line.say('two')
  await untilBytes(proxy, direction, 12)
  expect(line.text).toBe('HELLO')
  proxy.letGo()
  await line.hears('ONE TWO')
  expect(proxy.holding).toBe(false)
})

test('swallows without a word, and tells of no end; what comes later passes on a new connection only', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  const before = served.length
  proxy.drop()
  line.say('lost')
  const unheard = new Line(proxy.port)
  unheard.say('lost')
  const server = served.at(-1)
  server?.end()
  // It hears the end of the proxy's own socket, which has thus heard of its end.
  await new Promise((resolve) => server?.once('close', resolve))
  await untilBytes(proxy, 'up', 9)
  while (proxy.connections < 2) await new Promise(setImmediate)
  proxy.pass()
  const later = await talk(proxy)
  line.say('lost for good')
  await untilBytes(proxy, 'up', 9 + 5 + 13)
  later.say(' still')
  await later.hears('HELLO STILL')
  expect([line.text, line.ended, unheard.text, unheard.ended]).toEqual(['HELLO', 'open', '', 'open'])
  // What connected meanwhile never came to the server.
  expect(served.length).toBe(before + 1)
})

test('swallows one way only', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  proxy.drop('down')
  line.say('heard')
  await untilBytes(proxy, 'down', 10)
  expect(line.text).toBe('HELLO')
})

test('resets all connections, also those to nobody', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  proxy.drop('up')
  const unheard = new Line(proxy.port)
  while (proxy.connections < 2) await new Promise(setImmediate)
  proxy.reset()
  expect(await Promise.all([line.closes(), unheard.closes()])).toEqual(['reset', 'reset'])
})

test('refuses connections until it lets go', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  proxy.refuse()
  expect(await line.closes()).toBe('reset')
  expect(await new Line(proxy.port).closes()).toBe('reset')
  proxy.letGo()
  await talk(proxy)
})

test('delays, and keeps the order', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  proxy.delay('up', 50)
  const startMs = performance.now()
  line.say('one ')
  await untilBytes(proxy, 'up', 9)
  proxy.delay('up', 0)
  line.say('two')
  await line.hears('ONE TWO')
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(49)
})

test.each<[Direction, Tear, string, string]>([
  ['up', 'reset', 'HELLO', 'reset'],
  ['up', 'end', 'HELLO', 'end'],
  ['down', 'end', 'HELLOABC', 'end'],
  ['down', 'reset', 'HELLO', 'any'],
])('cuts after so many bytes %s by %s', async (direction, tear, text, ended) => {
  const proxy = await open()
  const line = await talk(proxy)
  const server = served.at(-1)
  let heard = ''
  server?.on('data', (bytes) => {
    heard += bytes
  })
  const cut = proxy.cutAfter(direction, 3, tear)
  line.say('abcdef')
  await cut
  expect([await line.closes(), 'any']).toContain(ended)
  // A reset may overtake, in the receiver's own system, what was delivered before it.
  expect(line.text.startsWith(text)).toBe(true)
  if (server?.closed === false) await new Promise((resolve) => server.once('close', resolve))
  expect(['', 'abc', 'abcdef']).toContain(heard)
  if (tear === 'end') expect(heard).toBe(direction === 'up' ? 'abc' : 'abcdef')
  await talk(proxy)
})

test('cuts by silence: what came before arrives, then nothing, and the next connection is whole', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  const cut = proxy.cutAfter('down', 3, 'silence')
  line.say('abcdef')
  await cut
  await line.hears('HELLOABC')
  line.say('more')
  await untilBytes(proxy, 'up', 15)
  await talk(proxy)
  expect([line.text, line.ended]).toEqual(['HELLOABC', 'open'])
})

test('a cut that has not come is called off', async () => {
  const proxy = await open()
  const line = await talk(proxy)
  void proxy.cutAfter('up', 3)
  proxy.pass()
  line.say('abcdef')
  await line.hears('ABCDEF')
})
