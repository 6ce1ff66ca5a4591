/** etcd with its defaults: every transaction is on the disk before it is answered. */
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Contestant, Runner } from '../harness/scenario.ts'
import { importPeer } from './packages.ts'
import { freePorts, requireProgram, ServerProcess } from './server-process.ts'

interface EtcdModule {
  readonly Etcd3: new (options: { hosts: string; grpcOptions: Record<string, unknown> }) => EtcdClient
}

interface EtcdLock {
  ttl(seconds: number): EtcdLock
  acquire(): Promise<EtcdLock>
  release(): Promise<void>
}

interface EtcdCampaign {
  wait(): Promise<unknown>
  resign(): Promise<void>
  on(event: 'error', listener: () => void): void
}

export interface EtcdClient {
  lease(ttl: number): { grant(): Promise<string>; revoke(): Promise<void> }
  if(
    key: string,
    column: 'Create',
    comparison: '==',
    value: number,
  ): { then(...clauses: unknown[]): { commit(): Promise<{ succeeded: boolean }> } }
  put(key: string): { value(value: string): { lease(id: string): unknown } }
  delete(): { key(key: string): PromiseLike<unknown> }
  lock(name: string): EtcdLock
  election(name: string, ttl?: number): { campaign(value: string): EtcdCampaign }
  close(): void
}

export interface EtcdServer {
  readonly address: string
  connect(): Promise<EtcdClient>
  stop(): Promise<void>
}

export async function startEtcd(): Promise<EtcdServer> {
  const program = requireProgram(['etcd'], 'etcd')
  await importPeer('etcd3')
  const [clientPort, peerPort] = await freePorts(2)
  const server = new ServerProcess()
  const address = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  server.start(program, [
    '--name=bench',
    `--data-dir=${server.folder}/data`,
    `--listen-client-urls=${address}`,
    `--advertise-client-urls=${address}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=bench=${peer}`,
    '--log-level=error',
  ])
  await server.untilReady(async () => {
    const answer = await fetch(`${address}/health`)
    if (!answer.ok) throw new Error(`health: ${answer.status}`)
  })
  return {
    address,
    connect: () => connectEtcd(address),
    stop: () => server.stop(),
  }
}

/** A client with a connection of its own, where the library would share one with all clients of the process. */
export async function connectEtcd(address: string): Promise<EtcdClient> {
  const { Etcd3 } = await importPeer<EtcdModule>('etcd3')
  return new Etcd3({ hosts: address, grpcOptions: { 'grpc.use_local_subchannel_pool': 1 } })
}

/** Callers share a client: of several in one process none is faster, as all share its one thread. */
async function transactions(server: EtcdServer, callers: number): Promise<Runner> {
  const client = await server.connect()
  // One lease for all, as a session has it: else each lock would cost two more requests.
  const lease = client.lease(60)
  const id = await lease.grant()
  const calls = Array.from({ length: callers }, (_, index): Call => {
    const key = `bench/${index}`
    return async () => {
      const { succeeded } = await client
        .if(key, 'Create', '==', 0)
        .then(client.put(key).value('holder').lease(id))
        .commit()
      if (!succeeded) throw new Error(`${key} was refused`)
      await client.delete().key(key)
    }
  })
  return callersRunner('cycles', calls, async () => {
    await lease.revoke()
    client.close()
  })
}

async function locks(server: EtcdServer, callers: number): Promise<Runner> {
  const client = await server.connect()
  const calls = Array.from({ length: callers }, (_, index): Call => {
    return async () => {
      const lock = await client.lock(`lock ${index}`).ttl(15).acquire()
      await lock.release()
    }
  })
  return callersRunner('cycles', calls, async () => client.close())
}

export function etcdCycles(callers: number): Contestant[] {
  return [
    {
      name: 'etcd transaction',
      how: 'create if absent with a shared lease + delete; both durable',
      open: async ({ peers }) => transactions(await peers.etcd(), callers),
    },
    {
      name: 'npm etcd3 lock()',
      how: 'a lease for each lock; durable',
      open: async ({ peers }) => locks(await peers.etcd(), callers),
    },
  ]
}
