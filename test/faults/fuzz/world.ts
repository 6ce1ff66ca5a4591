/** A database in which calls are tried: roles of every kind, tables to protect, and a way to see whether anything was written. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import type { Known } from './values.ts'

const KINDS = ['admin', 'user', 'reader', 'stranger'] as const
export type Kind = (typeof KINDS)[number]

/** Whatever calls can change: rows, rights, triggers, and what belongs to this session. */
const FINGERPRINT = `
  CREATE FUNCTION public.fingerprint() RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
  DECLARE
    source text;
    part text;
    parts text := '';
  BEGIN
    FOR source IN
      SELECT format('SELECT md5(string_agg(md5(t::text), %L ORDER BY t::text)) FROM elect.%I t', ',', relname)
      FROM pg_class WHERE relnamespace = 'elect'::regnamespace AND relkind = 'r' ORDER BY relname
    LOOP
      EXECUTE source INTO part;
      parts := concat(parts, ' ', coalesce(part, '-'));
    END LOOP;
    RETURN concat(
      CASE WHEN EXISTS (SELECT FROM elect.sessions s WHERE s.expires_at <= clock_timestamp() + interval '1 second') THEN 'ends' END, parts,
      ' ', (SELECT md5(string_agg(concat(p.oid, p.proacl), ',' ORDER BY p.oid)) FROM pg_proc p WHERE p.pronamespace = 'elect'::regnamespace),
      ' ', (SELECT md5(string_agg(concat(t.tgrelid, t.tgname, t.tgenabled), ',' ORDER BY t.oid)) FROM pg_trigger t),
      ' ', (SELECT md5(string_agg(concat(l.classid, '.', l.objid, l.mode), ',' ORDER BY l.classid, l.objid, l.mode))
            FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()),
      ' ', (SELECT md5(string_agg(c, ',' ORDER BY c)) FROM pg_listening_channels() c));
  END $$;
  CREATE FUNCTION public.some_lease(name text) RETURNS elect.leases LANGUAGE sql STABLE SECURITY DEFINER
  RETURN (SELECT l FROM elect.leases l WHERE l.name = some_lease.name);`

const PASSWORD = 'secret'

export class World {
  readonly superuser: pg.Client
  readonly roles: Readonly<Record<Kind, string>>
  /** Whether nobody has been given rights, or lost them, since they were given last. */
  areRightsKnown = false
  readonly #database: TestDatabase
  #known: Known = { leases: [], sessions: [], roles: [], tables: [], hasInfiniteIntervals: false }

  private constructor(database: TestDatabase, superuser: pg.Client, roles: Record<Kind, string>) {
    this.#database = database
    this.superuser = superuser
    this.roles = roles
  }

  static async open(): Promise<World> {
    const database = await createTestDatabase()
    const superuser = await database.connect()
    // Roles belong to the whole server.
    const suffix = randomBytes(5).toString('hex')
    const roles = Object.fromEntries(KINDS.map((kind) => [kind, `elect_fuzz_${kind}_${suffix}`])) as Record<
      Kind,
      string
    >
    const world = new World(database, superuser, roles)
    for (const role of Object.values(roles)) {
      await superuser.query(`CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}'`)
    }
    await superuser.query(FINGERPRINT)
    await superuser.query(`
      CREATE TABLE public.plain (i integer);
      CREATE TABLE public.parted (i integer) PARTITION BY LIST (i);
      CREATE TABLE public.part PARTITION OF public.parted FOR VALUES IN (1);
      CREATE TABLE public.foreign_owned (i integer);
      CREATE VIEW public.looked AS SELECT * FROM public.plain;
      CREATE SEQUENCE public.counted;
      CREATE INDEX plain_i ON public.plain (i);`)
    for (const table of ['plain', 'parted', 'part']) {
      await superuser.query(`ALTER TABLE public.${table} OWNER TO ${roles.user}`)
    }
    await world.giveRights()
    const { rows } = await superuser.query<{ version: number }>(
      `SELECT current_setting('server_version_num')::integer AS version`,
    )
    world.#known = {
      leases: [],
      sessions: [],
      roles: Object.values(roles),
      tables: ['plain', 'parted', 'part', 'foreign_owned', 'looked', 'counted', 'plain_i'].map(
        (table) => `public.${table}`,
      ),
      hasInfiniteIntervals: (rows[0]?.version ?? 0) >= 170000,
    }
    return world
  }

  async connect(kind: Kind): Promise<pg.Client> {
    const client = await this.#database.connect({
      user: this.roles[kind],
      password: PASSWORD,
      query_timeout: 20_000,
    })
    // Calls come one after the other: whoever keeps another waiting is not going to do anything meanwhile.
    await client.query(`SET idle_in_transaction_session_timeout = '2s'`)
    return client
  }

  /** As they were at first, where admins may have changed them. */
  async giveRights(): Promise<void> {
    if (this.areRightsKnown) return
    this.areRightsKnown = true
    for (const kind of KINDS) {
      const role = this.roles[kind]
      await this.superuser.query('SELECT elect.revoke_access($1::regrole)', [role])
      if (kind !== 'stranger')
        await this.superuser.query('SELECT elect.grant_access($1::regrole, $2)', [role, kind])
      await this.superuser.query(`GRANT USAGE ON SCHEMA elect TO ${role}`)
    }
  }

  /** Ends the grace of new epochs, and what has piled up. */
  async tidy(): Promise<void> {
    await this.superuser.query(`
      DELETE FROM elect.operations;
      SELECT setval('elect.epoch_seen', 1);
      UPDATE elect.settings SET longest_ttl = '100 milliseconds', grace = true;`)
  }

  /** What there is to be named now. */
  async look(): Promise<Known> {
    const { rows } = await this.superuser.query<Known['leases'][number]>(
      'SELECT name, token::text AS token, holder FROM elect.leases ORDER BY name LIMIT 50',
    )
    const sessions = await this.superuser.query<{ session: string }>(
      'SELECT session FROM elect.sessions ORDER BY opened_at DESC LIMIT 4',
    )
    return { ...this.#known, leases: rows, sessions: sessions.rows.map(({ session }) => session) }
  }

  async close(): Promise<void> {
    const { superuser } = this
    const url = new URL(this.#database.connectionString)
    await this.#database.drop()
    url.pathname = '/postgres'
    const server = new pg.Client({ connectionString: url.href })
    await server.connect()
    for (const role of Object.values(this.roles)) await server.query(`DROP ROLE ${role}`)
    await server.end()
    await superuser.end().catch(() => {})
  }
}
