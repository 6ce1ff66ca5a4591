/** A process that leads, until it is killed: in each of some names, by a contender of its own. `node leader.mjs '{"blueprint":…,"names":[…]}'` */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Blueprint, openContender } from './blueprint.ts'

const { blueprint, names }: { blueprint: Blueprint; names: string[] } = JSON.parse(process.argv[2] ?? '')
// Whoever is to kill it is gone itself.
process.on('disconnect', () => process.exit())
await Promise.all(
  names.map(async (name, index) => {
    // So that they do not all beat, and run out, at the same moment: beats are a third of a TTL apart.
    await sleep((index / names.length) * Math.min(1000, blueprint.ttlMs / 3))
    const contender = await openContender(blueprint)
    await contender.acquire(name)
  }),
)
process.send?.('leads')
