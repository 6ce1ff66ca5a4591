/** ZooKeeper, a single server with its defaults: each write is on the disk before it is answered. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Contestant, Runner } from '../harness/scenario.ts'
import { importPeer } from './packages.ts'
import { freePorts, requireProgram, ServerProcess } from './server-process.ts'

type Callback<Result> = (error: Error | null, result: Result) => void

interface RawClient {
  once(event: 'connected', listener: () => void): void
  connect(): void
  close(): void
  create(path: string, data: Buffer, mode: number, callback: Callback<string>): void
  remove(path: string, version: number, callback: (error: Error | null) => void): void
  getChildren(path: string, callback: Callback<string[]>): void
  exists(path: string, watcher: () => void, callback: Callback<unknown>): void
}

interface ZooKeeperModule {
  readonly default: {
    createClient(address: string, options: { sessionTimeout: number; retries: number }): RawClient
    readonly CreateMode: {
      readonly EPHEMERAL: number
      readonly EPHEMERAL_SEQUENTIAL: number
      readonly PERSISTENT: number
    }
  }
}

/** One session. */
export interface ZooKeeperClient {
  createEphemeral(path: string): Promise<string>
  createSequential(path: string): Promise<string>
  createPersistent(path: string): Promise<string>
  children(path: string): Promise<string[]>
  remove(path: string): Promise<void>
  /** Waits for the end of a node, told by a watch. */
  untilGone(path: string): Promise<void>
  close(): void
}

/** The client's default. */
const SESSION_MS = 30_000

export interface ZooKeeperServer {
  readonly address: string
  connect(): Promise<ZooKeeperClient>
  stop(): Promise<void>
}

export async function startZooKeeper(): Promise<ZooKeeperServer> {
  const jar = requireProgram(['/usr/share/java/zookeeper.jar'], "ZooKeeper (Debian's package)")
  const java = requireProgram(['java'], 'Java')
  await importPeer('node-zookeeper-client')
  const [port] = await freePorts(1)
  const server = new ServerProcess()
  const [configuration, data] = [join(server.folder, 'conf'), join(server.folder, 'data')]
  mkdirSync(configuration)
  mkdirSync(data)
  writeFileSync(
    join(configuration, 'zoo.cfg'),
    `tickTime=2000\ndataDir=${data}\nclientPort=${port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n`,
  )
  // Not by zkServer.sh, which in Debian's package reads no other configuration than that of the machine.
  server.start(java, [
    '-Xmx512m',
    '-cp',
    `${configuration}:${jar}`,
    'org.apache.zookeeper.server.quorum.QuorumPeerMain',
    join(configuration, 'zoo.cfg'),
  ])
  const address = `127.0.0.1:${port}`
  const connect = () => connectZooKeeper(address)
  await server.untilReady(async () => (await connect()).close())
  await warmUp(connect)
  return { address, connect, stop: () => server.stop() }
}

/** Java compiles what it has run often: a server that has just been started is several times slower than one that has been up. */
const WARM_UP_MS = 2000

async function warmUp(connect: () => Promise<ZooKeeperClient>): Promise<void> {
  const runner = await nodes({ connect }, SESSIONS_MAX)
  await runner.round(WARM_UP_MS)
  await runner.close()
}

/** @param sessionMs - the server takes none below two of its ticks, 4 s */
export async function connectZooKeeper(address: string, sessionMs = SESSION_MS): Promise<ZooKeeperClient> {
  const { default: module } = await importPeer<ZooKeeperModule>('node-zookeeper-client')
  const raw = module.createClient(address, { sessionTimeout: sessionMs, retries: 0 })
  await new Promise<void>((resolve, reject) => {
    const giveUp = setTimeout(() => {
      raw.close()
      reject(new Error(`no session at ${address}`))
    }, 10_000)
    raw.once('connected', () => {
      clearTimeout(giveUp)
      resolve()
    })
    raw.connect()
  })
  const create = (path: string, mode: number) =>
    new Promise<string>((resolve, reject) =>
      raw.create(path, Buffer.from('holder'), mode, (error, made) => (error ? reject(error) : resolve(made))),
    )
  const { EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT } = module.CreateMode
  return {
    createEphemeral: (path) => create(path, EPHEMERAL),
    createSequential: (path) => create(path, EPHEMERAL_SEQUENTIAL),
    createPersistent: (path) => create(path, PERSISTENT),
    children: (path) =>
      new Promise((resolve, reject) =>
        raw.getChildren(path, (error, names) => (error ? reject(error) : resolve(names))),
      ),
    remove: (path) =>
      new Promise((resolve, reject) => raw.remove(path, -1, (error) => (error ? reject(error) : resolve()))),
    untilGone: (path) =>
      new Promise((resolve, reject) =>
        raw.exists(path, resolve, (error, found) => {
          if (error) reject(error)
          else if (!found) resolve()
        }),
      ),
    close: () => raw.close(),
  }
}

/** More than these for one process make it slower, not faster. */
const SESSIONS_MAX = 16

/** For so many callers, that may have to share them. */
async function sessions(
  server: Pick<ZooKeeperServer, 'connect'>,
  callers: number,
): Promise<ZooKeeperClient[]> {
  return Promise.all(Array.from({ length: Math.min(callers, SESSIONS_MAX) }, () => server.connect()))
}

async function nodes(server: Pick<ZooKeeperServer, 'connect'>, callers: number): Promise<Runner> {
  const clients = await sessions(server, callers)
  const calls = Array.from({ length: callers }, (_, index): Call => {
    const client = clients[index % clients.length] as ZooKeeperClient
    const path = `/bench-${callers}-${index}`
    return async () => {
      await client.createEphemeral(path)
      await client.remove(path)
    }
  })
  return callersRunner('cycles', calls, async () => {
    for (const client of clients) client.close()
  })
}

/** The lock recipe: a sequential node below the lock's, and a look whether it is the first. */
async function recipe(server: ZooKeeperServer, callers: number): Promise<Runner> {
  const clients = await sessions(server, callers)
  const calls: Call[] = []
  for (let index = 0; index < callers; index++) {
    const client = clients[index % clients.length] as ZooKeeperClient
    const lock = `/recipe-${callers}-${index}`
    await client.createPersistent(lock).catch(() => undefined)
    calls.push(async () => {
      const own = await client.createSequential(`${lock}/node-`)
      const [first] = (await client.children(lock)).sort()
      if (`${lock}/${first}` !== own) throw new Error(`${lock} was refused`)
      await client.remove(own)
    })
  }
  return callersRunner('cycles', calls, async () => {
    for (const client of clients) client.close()
  })
}

export function zooKeeperCycles(callers: number): Contestant[] {
  const shared = callers > SESSIONS_MAX ? `; ${SESSIONS_MAX} sessions` : ''
  return [
    {
      name: 'ZooKeeper node',
      how: `create an ephemeral node + delete it; durable${shared}`,
      open: async ({ peers }) => nodes(await peers.zooKeeper(), callers),
    },
    {
      name: 'ZooKeeper lock recipe',
      how: `sequential node, look, delete; durable${shared}`,
      open: async ({ peers }) => recipe(await peers.zooKeeper(), callers),
    },
  ]
}
