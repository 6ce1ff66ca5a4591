/** All scenarios, in the order in which they run and are told. */
import type { AbsentScenario, Scenario } from '../harness/scenario.ts'
import { handOffs } from './hand-off.ts'
import { guardedRows, guardedTransactions } from './guarded.ts'
import { idle } from './idle.ts'
import { memory } from './memory.ts'
import { million } from './million.ts'
import { millionRenewals } from './million-renewals.ts'
import { notification } from './notification.ts'
import { refusal } from './refusal.ts'
import { release } from './release.ts'
import { renewals } from './renewals.ts'
import { renewalsWithListeners } from './renewals-listeners.ts'
import { takeover } from './takeover.ts'
import { connections, oneProcess, uncontended } from './uncontended.ts'

export const scenarios: readonly Scenario[] = [
  uncontended,
  connections,
  oneProcess(16, [
    { contestant: 'pg-elect', against: 'Redis SET NX, pipelined', ratio: 1.4 },
    { contestant: 'pg-elect', against: 'ZooKeeper node', ratio: 3.5 },
    { contestant: 'pg-elect', against: 'etcd transaction', ratio: 12 },
  ]),
  oneProcess(256, [{ contestant: 'pg-elect', against: 'Redis SET NX, pipelined', ratio: 1.9 }]),
  refusal(1),
  refusal(16),
  refusal(64),
  renewals,
  renewalsWithListeners,
  million,
  millionRenewals,
  guardedTransactions,
  guardedRows,
  notification,
  idle,
  memory,
  ...handOffs,
  release,
  takeover,
]

/** What was to be measured and is not, and why. */
export const absentScenarios: readonly AbsentScenario[] = [
  { title: 'History on and off', why: 'this version keeps no history' },
]
