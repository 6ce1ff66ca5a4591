/**
 * The other systems that do the same work, each started once, on loopback, with its data in a temporary folder: all at once, or only when a scenario
 * asks for it. `bench/install-peers.sh` installs them; those that are absent are named and passed over.
 */
import { type EtcdServer, startEtcd } from './etcd.ts'
import { type RedisServer, startRedis } from './redis.ts'
import { startZooKeeper, type ZooKeeperServer } from './zookeeper.ts'

export class Peers {
  #etcd: Promise<EtcdServer> | undefined
  #redis: Promise<RedisServer> | undefined
  #zooKeeper: Promise<ZooKeeperServer> | undefined

  /** @throws Unavailable if it is not installed, as the others do. */
  etcd(): Promise<EtcdServer> {
    this.#etcd ??= startEtcd()
    return this.#etcd
  }

  redis(): Promise<RedisServer> {
    this.#redis ??= startRedis()
    return this.#redis
  }

  zooKeeper(): Promise<ZooKeeperServer> {
    this.#zooKeeper ??= startZooKeeper()
    return this.#zooKeeper
  }

  /** All of them side by side, so that no scenario waits for one. Whoever asks for one that is absent is told then. */
  async startAll(): Promise<void> {
    await Promise.allSettled([this.etcd(), this.redis(), this.zooKeeper()])
  }

  async stop(): Promise<void> {
    const starting = [this.#etcd, this.#redis, this.#zooKeeper]
    await Promise.all(
      starting.map(async (one) => {
        const server = await one?.catch(() => undefined)
        await server?.stop()
      }),
    )
  }
}
