import { expect, test } from 'vitest'
import { installSchema } from '../support/postgres/install.ts'
import { eventually, grantTo, oneRow } from './leases.ts'
import { useOwnServer } from './own-server.ts'

// On a server shared with other tests, their open transactions would hold up the cleaning of its pages.
const server = useOwnServer()

interface Counters {
  readonly updates: number
  readonly hot: number
  readonly bytes: number
}

// A lease is renewed for years: were each renewal to leave a row version and an index entry behind for a vacuum,
// a table of a few rows would grow without end.
test('100,000 renewals of one lease stay on its page', async () => {
  const url = server.urlOf('postgres')
  await installSchema(url)
  const client = await server.connect(url)
  const token = await grantTo(client, 'hot', 'ada', '1 hour')
  // As many renewals a commit as keep the number of fsyncs, and so the time, small.
  await client.query(`
    DO $$ BEGIN
      FOR commits IN 1..5000 LOOP
        FOR renewals IN 1..20 LOOP
          PERFORM elect.renew_lease('hot', ${token});
        END LOOP;
        COMMIT;
      END LOOP;
    END $$`)
  const counters = () =>
    oneRow<Counters>(
      client,
      `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot, pg_total_relation_size(relid)::int AS bytes
       FROM pg_stat_user_tables WHERE relid = 'elect.leases'::regclass`,
    )
  // The server counts in its own time.
  await eventually(async () => (await counters()).updates >= 100_000)
  const { updates, hot, bytes } = await counters()
  expect(updates).toBe(100_000)
  expect(hot / updates).toBeGreaterThanOrEqual(0.95)
  expect(bytes).toBeLessThan(1_048_576)
}, 60_000)
