/** Contenders ask for a lease that somebody holds. It should cost no more than reading a row, and write nothing. */
import type pg from 'pg'
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Figures, Runner, Scenario } from '../harness/scenario.ts'

async function asking(bench: Bench, contenders: number, text: (index: number) => string): Promise<Runner> {
  const { database } = bench
  const sessions = await Promise.all(Array.from({ length: contenders }, () => database.connect()))
  const [first] = sessions as [pg.Client]
  await first.query("SELECT elect.acquire_lease('refused', 'holder', '24 hours')")
  await first.query('CREATE TABLE IF NOT EXISTS one_row (id integer PRIMARY KEY, holder text)')
  await first.query("INSERT INTO one_row VALUES (1, 'holder') ON CONFLICT DO NOTHING")
  await first.query(`CREATE OR REPLACE FUNCTION answers_null(name text, holder text) RETURNS elect.lease_grant
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'`)
  const calls = sessions.map((session, index): Call => {
    const statement = { name: 'ask', text: text(index) }
    return () => session.query(statement)
  })
  const runner = callersRunner('questions', calls, () =>
    Promise.all(sessions.map((session) => session.end())),
  )
  const wal = async () =>
    Number((await first.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS at")).rows[0]?.at)
  return {
    async round(forMs): Promise<Figures> {
      const before = await wal()
      const figures = await runner.round(forMs)
      return { ...figures, 'WAL bytes': (await wal()) - before }
    },
    close: () => runner.close(),
  }
}

export const refusal = (contenders: number): Scenario => ({
  name: `refusal-${contenders}`,
  title: `A held lease is refused, ${contenders} contenders`,
  figure: 'questions/s',
  better: 'more',
  alsoTold: ['p50 ms', 'WAL bytes'],
  contestants: [
    {
      name: 'pg-elect',
      how: 'acquire_lease of a held lease',
      open: (bench) =>
        asking(
          bench,
          contenders,
          (index) => `SELECT * FROM elect.acquire_lease('refused', 'contender ${index}')`,
        ),
    },
    {
      name: 'plain SELECT',
      how: 'one row by its primary key',
      open: (bench) => asking(bench, contenders, () => 'SELECT id, holder FROM one_row WHERE id = 1'),
    },
    {
      name: 'empty function',
      how: 'a PL/pgSQL function of the same shape that does nothing: no stored function is cheaper',
      open: (bench) =>
        asking(bench, contenders, (index) => `SELECT * FROM answers_null('refused', 'contender ${index}')`),
    },
  ],
  goals: [
    { contestant: 'pg-elect', against: 'plain SELECT', ratio: 0.85 },
    { contestant: 'pg-elect', figure: 'WAL bytes', atMost: 0 },
  ],
})
