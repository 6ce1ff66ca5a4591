/** What members of a group tell each other. */
import { sql } from 'kysely'
import { type ExecuteOptions, type Executor, run } from '../sql-call.ts'

/**
 * Wakes all members of a group: a partition has come free. That is told on the channel of its own lease, which nobody listens to, as
 * there are many.
 */
export async function tellGroup(executor: Executor, name: string, options?: ExecuteOptions): Promise<void> {
  const message = { event: 'moved', name, holder: null, token: null, previous_holder: null }
  const call = sql`SELECT pg_notify(elect.lease_channel(name => ${name}), ${JSON.stringify(message)})`
  await run(executor, call, options)
}
