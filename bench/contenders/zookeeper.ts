/** Contenders by ZooKeeper's lock recipe: a sequential node for each, which watches the one before it and no other. */
import { connectZooKeeper, type ZooKeeperClient } from '../peers/zookeeper.ts'
import type { Contender, Release } from './contender.ts'

export async function openRecipeContender(address: string, sessionMs?: number): Promise<Contender> {
  const client = await connectZooKeeper(address, sessionMs)
  const made = new Set<string>()
  return {
    async acquire(name): Promise<Release> {
      const lock = `/${encodeURIComponent(name)}`
      if (!made.has(lock)) await client.createPersistent(lock).catch(() => undefined)
      made.add(lock)
      const own = await client.createSequential(`${lock}/node-`)
      await untilFirst(client, lock, own)
      return () => client.remove(own)
    },
    async close() {
      client.close()
    },
  }
}

async function untilFirst(client: ZooKeeperClient, lock: string, own: string): Promise<void> {
  for (;;) {
    const nodes = (await client.children(lock)).sort()
    const place = nodes.findIndex((node) => `${lock}/${node}` === own)
    if (place === 0) return
    if (place < 0) throw new Error(`${own} is gone: its session has ended`)
    await client.untilGone(`${lock}/${nodes[place - 1]}`)
  }
}
