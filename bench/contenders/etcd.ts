/** Contenders by etcd: its server's lock service, and the election of npm etcd3. */
import { fileURLToPath } from 'node:url'
import { connectEtcd } from '../peers/etcd.ts'
import { importPeer } from '../peers/packages.ts'
import type { Contender, Release } from './contender.ts'

/** Seconds. Kept alive by the client. */
const SESSION_TTL = 15

/** `v3lock`: one request to lock and one to unlock; the lease that it hangs on is the session's. */
export async function openLockContender(address: string): Promise<Contender> {
  const client = await connectEtcd(address)
  const session = client.lease(SESSION_TTL)
  const lease = await session.grant()
  const service = await connectLockService(address)
  return {
    async acquire(name): Promise<Release> {
      const { key } = await service.lock({ name: Buffer.from(name), lease })
      return () => service.unlock({ key })
    },
    async close() {
      service.close()
      await session.revoke()
      client.close()
    },
  }
}

/** @param ttlSeconds - default as in the library, 60 */
export async function openCampaignContender(address: string, ttlSeconds?: number): Promise<Contender> {
  const client = await connectEtcd(address)
  return {
    async acquire(name): Promise<Release> {
      const campaign = client.election(name, ttlSeconds).campaign('holder')
      await campaign.wait()
      // The library tells so when its lease is lost; unheard it would end the process.
      campaign.on('error', () => undefined)
      return () => campaign.resign()
    },
    async close() {
      client.close()
    },
  }
}

interface LockService {
  lock(request: { name: Buffer; lease: string }): Promise<{ key: Buffer }>
  unlock(request: { key: Buffer }): Promise<unknown>
  close(): void
}

type Unary = (request: object, callback: (error: Error | null, response: never) => void) => void

interface GrpcModule {
  readonly credentials: { createInsecure(): unknown }
  loadPackageDefinition(definition: unknown): {
    readonly v3lockpb: {
      readonly Lock: new (
        host: string,
        credentials: unknown,
        options: Record<string, unknown>,
      ) => { lock: Unary; unlock: Unary; close(): void }
    }
  }
}

interface ProtoLoaderModule {
  load(path: string, options: { longs: unknown }): Promise<unknown>
}

async function connectLockService(address: string): Promise<LockService> {
  const grpc = await importPeer<GrpcModule>('@grpc/grpc-js')
  const { load } = await importPeer<ProtoLoaderModule>('@grpc/proto-loader')
  const path = fileURLToPath(new URL('../peers/v3lock.proto', import.meta.url))
  const { v3lockpb } = grpc.loadPackageDefinition(await load(path, { longs: String }))
  // A connection for each, as in processes of their own.
  const options = { 'grpc.use_local_subchannel_pool': 1 }
  const client = new v3lockpb.Lock(new URL(address).host, grpc.credentials.createInsecure(), options)
  const call = <Response>(method: Unary, request: object) =>
    new Promise<Response>((resolve, reject) => {
      method.call(client, request, (error, response) => (error ? reject(error) : resolve(response)))
    })
  return {
    lock: (request) => call(client.lock, request),
    unlock: (request) => call(client.unlock, request),
    close: () => client.close(),
  }
}
