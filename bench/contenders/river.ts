/** Contenders by what River's elector does: whoever is not the leader tries every 5 to 6 seconds, the leader is elected anew every 5. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../harness/connect.ts'
import { electInRiver, reelectInRiver, resignInRiver } from '../peers/river.ts'
import type { Contender, Release } from './contender.ts'

const ELECT_INTERVAL_MS = 5000
const JITTER_MS = 1000

export async function openRiverContender(connectionString: string, ttlMs: number): Promise<Contender> {
  const session = await connect(connectionString)
  const leader = `${process.pid} ${Math.random()}`
  return {
    async acquire(name): Promise<Release> {
      while (!(await electInRiver(session, name, leader, ttlMs))) {
        await sleep(ELECT_INTERVAL_MS + Math.random() * JITTER_MS)
      }
      const keeping = setInterval(() => reelectInRiver(session, name, leader, ttlMs), ELECT_INTERVAL_MS)
      return () => {
        clearInterval(keeping)
        return resignInRiver(session, name, leader)
      }
    },
    close: () => session.end(),
  }
}
