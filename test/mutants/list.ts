/** All mutants: each area is a list in `list/`, as plain data. */

import { batches } from './list/batches.ts'
import { clientCandidate } from './list/client-candidate.ts'
import { clientConnection } from './list/client-connection.ts'
import { clientHeartbeat } from './list/client-heartbeat.ts'
import { clientNotifier } from './list/client-notifier.ts'
import { clientPrimitives } from './list/client-primitives.ts'
import { clientSessions } from './list/client-sessions.ts'
import { clientTrust } from './list/client-trust.ts'
import { clientUnknown } from './list/client-unknown.ts'
import { clientWorker } from './list/client-worker.ts'
import { sqlClock } from './list/sql-clock.ts'
import { sqlClosed } from './list/sql-closed.ts'
import { sqlEpochs } from './list/sql-epochs.ts'
import { sqlGuard } from './list/sql-guard.ts'
import { sqlLine } from './list/sql-line.ts'
import { sqlRules } from './list/sql-rules.ts'
import { sqlSessions } from './list/sql-sessions.ts'
import { sqlShares } from './list/sql-shares.ts'
import type { ListedMutant, Mutant } from './mutant.ts'

const areas: Readonly<Record<string, readonly Mutant[]>> = {
  'sql-clock': sqlClock,
  'sql-rules': sqlRules,
  'sql-guard': sqlGuard,
  'sql-epochs': sqlEpochs,
  'sql-line': sqlLine,
  'sql-shares': sqlShares,
  'sql-sessions': sqlSessions,
  'sql-closed': sqlClosed,
  batches,
  'client-trust': clientTrust,
  'client-heartbeat': clientHeartbeat,
  'client-connection': clientConnection,
  'client-notifier': clientNotifier,
  'client-candidate': clientCandidate,
  'client-primitives': clientPrimitives,
  'client-unknown': clientUnknown,
  'client-worker': clientWorker,
  'client-sessions': clientSessions,
}

export const mutants: readonly ListedMutant[] = Object.entries(areas).flatMap(([area, listed]) =>
  listed.map((mutant) => ({ ...mutant, id: `${area}/${mutant.name}` })),
)
