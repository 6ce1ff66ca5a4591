/** Redis with its log synced before each answer (`appendfsync always`): the same durability as the others. */
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Contestant, Runner } from '../harness/scenario.ts'
import { importPeer } from './packages.ts'
import { freePorts, requireProgram, ServerProcess } from './server-process.ts'

export interface RedisClient {
  ping(): Promise<string>
  set(key: string, value: string, px: 'PX', ttlMs: number, nx: 'NX'): Promise<'OK' | null>
  defineCommand(name: string, definition: { numberOfKeys: number; lua: string }): void
  release(key: string, value: string): Promise<number>
  on(event: 'error', listener: () => void): void
  disconnect(): void
}

interface RedisModule {
  readonly Redis: new (options: { host: string; port: number; enableAutoPipelining?: boolean }) => RedisClient
}

interface RedlockLock {
  extend(ttlMs: number): Promise<RedlockLock>
  release(): Promise<unknown>
}

export interface RedlockModule {
  readonly default: new (
    clients: RedisClient[],
    options: { retryCount: number },
  ) => {
    acquire(names: string[], ttlMs: number): Promise<RedlockLock>
    release(lock: RedlockLock, options: { retryCount: number }): Promise<unknown>
    on(event: 'error', listener: () => void): void
  }
}

export interface RedisServer {
  readonly address: string
  connect(options?: { isPipelined?: boolean }): Promise<RedisClient>
  stop(): Promise<void>
}

/** Deletes only what is the caller's own: as Redis recommends it for locks. */
const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

export async function startRedis(): Promise<RedisServer> {
  const program = requireProgram(['redis-server'], 'Redis')
  await importPeer('ioredis')
  const [port = 0] = await freePorts(1)
  const server = new ServerProcess()
  server.start(program, [
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--dir',
    server.folder,
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--save',
    '',
  ])
  const address = `redis://127.0.0.1:${port}`
  const connect = (options?: { isPipelined?: boolean }) => connectRedis(address, options)
  await server.untilReady(async () => (await connect()).disconnect())
  return { address, connect, stop: () => server.stop() }
}

export async function connectRedis(address: string, { isPipelined = false } = {}): Promise<RedisClient> {
  const { Redis } = await importPeer<RedisModule>('ioredis')
  const { hostname: host, port } = new URL(address)
  const client = new Redis({ host, port: Number(port), enableAutoPipelining: isPipelined })
  client.on('error', () => undefined)
  client.defineCommand('release', { numberOfKeys: 1, lua: RELEASE })
  await client.ping()
  return client
}

async function setAndDelete(
  server: RedisServer,
  callers: number,
  connections: number,
  isPipelined: boolean,
): Promise<Runner> {
  const clients = await Promise.all(
    Array.from({ length: connections }, () => server.connect({ isPipelined })),
  )
  const calls = Array.from({ length: callers }, (_, index): Call => {
    const client = clients[index % connections] as RedisClient
    const key = `bench ${index}`
    return async () => {
      if ((await client.set(key, 'holder', 'PX', 15_000, 'NX')) !== 'OK')
        throw new Error(`${key} was refused`)
      await client.release(key, 'holder')
    }
  })
  return callersRunner('cycles', calls, async () => {
    for (const client of clients) client.disconnect()
  })
}

async function redlocks(server: RedisServer, callers: number): Promise<Runner> {
  const { default: Redlock } = await importPeer<RedlockModule>('redlock')
  const clients = await Promise.all(Array.from({ length: callers }, () => server.connect()))
  const calls = clients.map((client, index): Call => {
    const redlock = new Redlock([client], { retryCount: 0 })
    redlock.on('error', () => undefined)
    return async () => {
      const lock = await redlock.acquire([`redlock ${index}`], 15_000)
      await lock.release()
    }
  })
  return callersRunner('cycles', calls, async () => {
    for (const client of clients) client.disconnect()
  })
}

export function redisCycles(callers: number, { isPipelined = false } = {}): Contestant[] {
  if (isPipelined) {
    return [
      {
        name: 'Redis SET NX, pipelined',
        how: 'one connection with auto-pipelining; fsync always',
        open: async ({ peers }) => setAndDelete(await peers.redis(), callers, 1, true),
      },
    ]
  }
  return [
    {
      name: 'Redis SET NX',
      how: 'SET NX PX + compare and delete; fsync always',
      open: async ({ peers }) => setAndDelete(await peers.redis(), callers, callers, false),
    },
    {
      name: 'npm redlock',
      how: 'one server; fsync always',
      open: async ({ peers }) => redlocks(await peers.redis(), callers),
    },
  ]
}
