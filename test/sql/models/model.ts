import fc from 'fast-check'
import type pg from 'pg'
import { afterAll, beforeAll, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'

/** What PostgreSQL answered to one command, and how things stand after it. */
export interface Seen {
  /** The row that the command returned. */
  readonly answer: Record<string, unknown>
  readonly state: unknown
}

const runs = Number(process.env.MODEL_RUNS || 1000)
const seed = Number(process.env.SEED || Math.floor(Math.random() * 2 ** 31))

// One round trip for a command and a look at what came of it. What was handed to somebody in line is taken up at once,
// so that nothing runs out by itself, only by expire_lease and expire_place.
const stepFunctions = `
  CREATE FUNCTION public.step(run text, command text, look text) RETURNS jsonb LANGUAGE plpgsql AS $$
  DECLARE
    answer jsonb;
    state jsonb;
  BEGIN
    EXECUTE 'SELECT to_jsonb(c) FROM (' || command || ') AS c' INTO answer;
    UPDATE elect.leases l SET expires_at = renewed_at + ttl
    WHERE (name = run OR part_of = run) AND expires_at < renewed_at + ttl AND expires_at > clock_timestamp();
    EXECUTE look INTO state;
    RETURN jsonb_build_object('answer', answer, 'state', state);
  END
  $$;
  CREATE FUNCTION public.expire_lease(lease text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE elect.leases
    SET renewed_at = clock_timestamp() - interval '2 hours', expires_at = clock_timestamp() - interval '1 hour'
    WHERE name = lease AND expires_at > clock_timestamp();
  END
  $$;
  CREATE FUNCTION public.expire_place(line text, holder text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE elect.candidates SET expires_at = clock_timestamp() - interval '1 hour'
    WHERE lease = line AND candidate = holder;
  END
  $$;
  CREATE FUNCTION public.expire_session(id uuid) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE elect.sessions
    SET renewed_at = clock_timestamp() - interval '2 hours', expires_at = clock_timestamp() - interval '1 hour'
    WHERE session = id AND expires_at > clock_timestamp();
  END
  $$;
  CREATE FUNCTION public.unexpire_session(id uuid) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE elect.sessions SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + ttl
    WHERE session = id AND expires_at <= clock_timestamp();
  END
  $$;
  CREATE FUNCTION public.attempt(command text) RETURNS TABLE (answer jsonb, code text) LANGUAGE plpgsql AS $$
  BEGIN
    EXECUTE 'SELECT to_jsonb(c) FROM (' || command || ') AS c' INTO answer;
    code := '00000';
    RETURN NEXT;
  EXCEPTION
    WHEN OTHERS THEN
      code := SQLSTATE;
      RETURN NEXT;
  END
  $$;
  CREATE FUNCTION public.proves(name text, token bigint) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM elect.assert_lease(name, token);
    RETURN '00000';
  EXCEPTION
    WHEN OTHERS THEN
      RETURN SQLSTATE;
  END
  $$`

/** A session to a database of the file's own. */
export class Real {
  readonly #client: pg.Client
  readonly #look: string
  /** The name that this run uses, and no other. */
  readonly name: string

  constructor(client: pg.Client, name: string, look: string) {
    this.#client = client
    this.name = name
    this.#look = look.replaceAll('$name', `'${name}'`)
  }

  /** Runs a query that returns one row; `$name` stands for the name of this run. */
  async step(command: string): Promise<Seen> {
    const text = command.replaceAll('$name', `'${this.name}'`)
    const { rows } = await this.#client.query<{ seen: Seen }>({
      name: 'step',
      text: 'SELECT public.step($1, $2, $3) AS seen',
      values: [this.name, text, this.#look],
    })
    const seen = rows[0]?.seen
    if (seen === undefined) throw new Error(`no answer: ${text}`)
    return seen
  }
}

/**
 * Compares PostgreSQL with a model over random sequences of commands: MODEL_RUNS of them, 1,000 by default. What fails is
 * reported with a seed; SEED=<that> runs the same sequences again.
 *
 * @param look - a query for the state to compare, as one JSON value; `$name` stands for the name of the run
 */
export function testModel<Case>(
  title: string,
  cases: fc.Arbitrary<Case>,
  look: string,
  check: (real: Real, example: Case) => Promise<void>,
): void {
  let database: TestDatabase | undefined
  let client: pg.Client
  let names = 0
  beforeAll(async () => {
    database = await createTestDatabase()
    client = await database.connect()
    await client.query(stepFunctions)
  })
  afterAll(() => database?.drop())

  const timeout = 60_000 + runs * 1_000
  test(`${title}: ${runs} runs from seed ${seed}`, { timeout }, async () => {
    const property = fc.asyncProperty(cases, async (example) => {
      names += 1
      await check(new Real(client, `run ${names}`, look), example)
    })
    await fc.assert(property, { numRuns: runs, seed })
  })
}
