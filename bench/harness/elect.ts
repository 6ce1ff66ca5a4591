/** pg-elect as its users have it: clients that log nothing. */
import { PgElect, type PgElectOptions } from '../../src/index.ts'
import type { Bench } from './scenario.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

export function openElect({ database }: Bench, options: PgElectOptions = {}): PgElect {
  return new PgElect({ connectionString: database.connectionString, logger: quiet, ...options })
}

export async function closeAll(clients: readonly { close(): Promise<unknown> }[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()))
}
