/** Something that is executed again and again, and what must be there before. One statement a line: that is how single-user mode reads. */
export interface CountedCall {
  readonly name: string
  /** Once, before the server is started in single-user mode. */
  readonly setUp?: readonly string[]
  /** Once in the session. */
  readonly prepare: readonly string[]
  /** What is counted. */
  readonly run: readonly string[]
  /** How many leases one run is about, if its count is to be told for each. Default 1. */
  readonly leases?: number
}

const HOLDER = "'host-1:4711:5d0c1f'"

/** A lease that was held before, given back. */
const vacant = (name: string): string[] => [
  `SELECT FROM elect.acquire_lease('${name}', ${HOLDER})`,
  `SELECT elect.release_lease(l.name, l.token) FROM elect.leases l WHERE l.name = '${name}'`,
]
const held = (name: string): string[] => [`SELECT FROM elect.acquire_lease('${name}', ${HOLDER}, '1 hour')`]
const namesOf = (leases: number): string =>
  `ARRAY(SELECT 'job-' || i FROM generate_series(1, ${leases}) AS i)`
const many = (leases: number): string[] => [
  `SELECT FROM elect.acquire_leases(${namesOf(leases)}, array_fill(${HOLDER}::text, ARRAY[${leases}]), array_fill(interval '1 hour', ARRAY[${leases}]))`,
]
const GIVE_ALL_BACK =
  "SELECT count(*) FROM elect.release_leases((SELECT array_agg(l.name ORDER BY l.name) FROM elect.leases l WHERE l.name LIKE 'job-%'), (SELECT array_agg(l.token ORDER BY l.name) FROM elect.leases l WHERE l.name LIKE 'job-%'))"

/** A lease is acquired and given back, as such or in the server's queue. */
const cycle = (kind: 'lease' | 'queued'): CountedCall => ({
  name: `acquire_${kind} and release_${kind}`,
  setUp: vacant('job'),
  prepare: [
    `PREPARE acquire AS SELECT * FROM elect.acquire_${kind}('job', ${HOLDER}, '15 seconds')`,
    `PREPARE release AS SELECT elect.release_${kind}(l.name, l.token) FROM elect.leases l WHERE l.name = 'job'`,
  ],
  run: ['EXECUTE acquire', 'EXECUTE release'],
})

/** What each other call is compared with. */
export const floor: CountedCall = {
  name: 'SELECT of one row by its key',
  setUp: ['CREATE TABLE bare (name text PRIMARY KEY, value bigint)', "INSERT INTO bare VALUES ('row', 1)"],
  prepare: ["PREPARE bare AS SELECT value FROM bare WHERE name = 'row'"],
  run: ['EXECUTE bare'],
}

export const countedCalls: readonly CountedCall[] = [
  floor,
  {
    name: 'UPDATE of one row by its key',
    setUp: ['CREATE TABLE bare (name text PRIMARY KEY, value bigint)', "INSERT INTO bare VALUES ('row', 1)"],
    prepare: ["PREPARE bare AS UPDATE bare SET value = value + 1 WHERE name = 'row'"],
    run: ['EXECUTE bare'],
  },
  {
    name: 'a PL/pgSQL function that does nothing',
    setUp: [
      'CREATE FUNCTION nothing(name text, OUT a boolean, OUT b text, OUT c bigint, OUT d bigint, OUT e jsonb, OUT f interval, OUT g integer) SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$ BEGIN END $$',
    ],
    prepare: ["PREPARE nothing AS SELECT * FROM nothing('row')"],
    run: ['EXECUTE nothing'],
  },
  cycle('lease'),
  {
    name: 'acquire_lease, refused',
    setUp: held('job'),
    prepare: [
      "PREPARE acquire AS SELECT * FROM elect.acquire_lease('job', 'host-2:4712:7e3a90', '15 seconds')",
    ],
    run: ['EXECUTE acquire'],
  },
  cycle('queued'),
  ...[1, 16, 128].map((leases) => ({
    name: `acquire_leases and release_leases of ${leases}, each lease`,
    setUp: [...many(leases), GIVE_ALL_BACK],
    prepare: [
      `PREPARE acquire AS SELECT count(*) FROM elect.acquire_leases(${namesOf(leases)}, array_fill(${HOLDER}::text, ARRAY[${leases}]), array_fill(interval '1 hour', ARRAY[${leases}]))`,
      `PREPARE release AS ${GIVE_ALL_BACK}`,
    ],
    run: ['EXECUTE acquire', 'EXECUTE release'],
    leases,
  })),
  {
    name: 'renew_lease',
    setUp: held('job'),
    prepare: [
      "PREPARE renew AS SELECT r.* FROM elect.leases l, elect.renew_lease(l.name, l.token) r WHERE l.name = 'job'",
    ],
    run: ['EXECUTE renew'],
  },
  ...[1, 16, 128].map((leases) => ({
    name: `renew_leases of ${leases}, each lease`,
    setUp: many(leases),
    prepare: [
      "PREPARE renew AS SELECT count(*) FROM elect.renew_leases((SELECT array_agg(l.name) FROM elect.leases l WHERE l.name LIKE 'job-%'), (SELECT array_agg(l.token) FROM elect.leases l WHERE l.name LIKE 'job-%'))",
    ],
    run: ['EXECUTE renew'],
    leases,
  })),
  {
    name: 'renew_session',
    setUp: [`SELECT FROM elect.open_session(${HOLDER}, '15 minutes')`],
    prepare: ['PREPARE renew AS SELECT r.* FROM elect.sessions s, elect.renew_session(s.session) r'],
    run: ['EXECUTE renew'],
  },
  {
    name: 'get_lease',
    setUp: held('job'),
    prepare: ["PREPARE get AS SELECT * FROM elect.get_lease('job')"],
    run: ['EXECUTE get'],
  },
  {
    name: 'assert_lease',
    setUp: held('job'),
    prepare: [
      "PREPARE guard AS SELECT elect.assert_lease(l.name, l.token) FROM elect.leases l WHERE l.name = 'job'",
    ],
    run: ['EXECUTE guard'],
  },
]
