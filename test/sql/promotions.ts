/** Stands in for a promotion: the server finds an epoch of another server or timeline as the last one known. */
import type pg from 'pg'

/** Begins in an epoch of old, with a minute of grace in the next. */
export async function beginInOldEpoch(client: pg.Client): Promise<void> {
  await client.query("SELECT elect.configure(longest_ttl => '1 minute', grace => true)")
  await client.query(
    "SELECT setval('elect.epoch_identity', elect.current_identity()), setval('elect.epoch_seen', 1), setval('elect.epoch_server', elect.server_run())",
  )
}

/** What a server sees after its promotion. */
export async function promote(client: pg.Client): Promise<void> {
  await client.query("SELECT setval('elect.epoch_identity', last_value # 1) FROM elect.epoch_identity")
  // As whatever changes that also changes the run of the server.
  await restart(client)
}

/** As after a restart of the server, which is no fail-over. */
export async function restart(client: pg.Client): Promise<void> {
  await client.query("SELECT setval('elect.epoch_server', last_value # 1) FROM elect.epoch_server")
}
