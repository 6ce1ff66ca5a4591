/** How to make a contender, as plain data: for those that stand in another process. */
import type { Contender } from './contender.ts'
import { openElectionContender } from './elect.ts'
import { openCampaignContender } from './etcd.ts'
import { openRedlockContender } from './redlock.ts'
import { openRiverContender } from './river.ts'
import { openRecipeContender } from './zookeeper.ts'

export interface Blueprint {
  readonly kind: 'elect by connection' | 'elect by expiry' | 'etcd3' | 'redlock' | 'river' | 'zookeeper'
  /** A connection string, or whatever the system's clients take. */
  readonly address: string
  /** How long a crashed holder is waited for. */
  readonly ttlMs: number
}

export function openContender({ kind, address, ttlMs }: Blueprint): Promise<Contender> {
  switch (kind) {
    case 'elect by connection':
      return openElectionContender(address, ttlMs, 'connection')
    case 'elect by expiry':
      return openElectionContender(address, ttlMs, 'expiry')
    case 'etcd3':
      return openCampaignContender(address, ttlMs / 1000)
    case 'redlock':
      return openRedlockContender(address, ttlMs)
    case 'river':
      return openRiverContender(address, ttlMs)
    case 'zookeeper':
      return openRecipeContender(address, ttlMs)
  }
}
