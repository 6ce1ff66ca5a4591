/** Contenders by npm redlock on one server: whoever is refused tries again after its default pause of 100 to 300 ms. */
import { importPeer } from '../peers/packages.ts'
import { connectRedis, type RedisClient, type RedlockModule } from '../peers/redis.ts'
import type { Contender, Release } from './contender.ts'

export async function openRedlockContender(address: string, ttlMs = 15_000): Promise<Contender> {
  const { default: Redlock } = await importPeer<RedlockModule>('redlock')
  const client: RedisClient = await connectRedis(address)
  const redlock = new Redlock([client], { retryCount: -1 })
  redlock.on('error', () => undefined)
  return {
    async acquire(name): Promise<Release> {
      let lock = await redlock.acquire([name], ttlMs)
      const keeping = setInterval(async () => {
        lock = await lock.extend(ttlMs).catch(() => lock)
      }, ttlMs / 2)
      return () => {
        clearInterval(keeping)
        // What was lost is not there to be released, however often it is tried.
        return redlock.release(lock, { retryCount: 0 }).catch(() => undefined)
      }
    },
    async close() {
      client.disconnect()
    },
  }
}
