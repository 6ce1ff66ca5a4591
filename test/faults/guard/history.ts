import type pg from 'pg'
import type { Commit, GuardedWrite, LeaseChange } from './checker.ts'

/**
 * The history of commits from the server's own log, by logical decoding: transactions come in the order in which their commit
 * records were written, each with all it has changed. A commit record is written before the row locks are let go, so this order
 * cannot contradict them, and no clock or trigger takes part. Needs wal_level = logical.
 */
export async function openHistory(client: pg.Client): Promise<() => Promise<Commit[]>> {
  const suffix = (
    await client.query<{ oid: string }>('SELECT oid FROM pg_database WHERE datname = current_database()')
  ).rows[0]?.oid
  const slot = `guard_history_${suffix}`
  // Decoded times are then all in the same zone.
  await client.query("SET TimeZone = 'UTC'")
  await client.query('CREATE PUBLICATION guard_history FOR ALL TABLES')
  await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput', temporary => true)", [slot])
  return async () => {
    const text = `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
      'proto_version', '1', 'publication_names', 'guard_history')`
    const { rows } = await client.query<{ data: Buffer }>(text, [slot])
    return readCommits(rows.map(({ data }) => data))
  }
}

interface Relation {
  readonly schema: string
  readonly table: string
  readonly columns: readonly string[]
}

/** Reads the messages of pgoutput, protocol version 1. */
function readCommits(messages: readonly Buffer[]): Commit[] {
  const relations = new Map<number, Relation>()
  const commits: Commit[] = []
  let changes: (LeaseChange | GuardedWrite)[] = []
  for (const message of messages) {
    const reader = new Reader(message)
    const kind = reader.char()
    if (kind === 'B') changes = []
    else if (kind === 'C') commits.push(changes)
    else if (kind === 'R') relations.set(reader.int32(), reader.relation())
    else if (kind === 'I' || kind === 'U') {
      const relation = relations.get(reader.int32())
      if (relation === undefined) throw new Error('a change of a relation that was not described')
      let part = reader.char()
      // An update may begin with the old key.
      for (; part !== 'N'; part = reader.char()) reader.tuple(relation.columns)
      const change = changeOf(relation, reader.tuple(relation.columns))
      if (change !== undefined) changes.push(change)
    }
  }
  return commits
}

function changeOf(
  relation: Relation,
  row: Map<string, string | null>,
): LeaseChange | GuardedWrite | undefined {
  const text = (column: string): string => {
    const value = row.get(column)
    if (value === undefined || value === null) throw new Error(`${relation.table} has no ${column}`)
    return value
  }
  if (relation.table.startsWith('work_')) {
    return { kind: 'write', lease: text('lease'), token: Number(text('token')) }
  }
  if (relation.schema !== 'elect' || relation.table !== 'leases') return undefined
  const expiresAt = row.get('expires_at') ?? null
  return {
    kind: 'lease',
    lease: text('name'),
    holder: row.get('holder') ?? null,
    token: Number(text('token')),
    acquiredAt: microseconds(text('acquired_at')),
    renewedAt: microseconds(text('renewed_at')),
    expiresAt: expiresAt === null ? null : microseconds(expiresAt),
  }
}

/** Of a time such as "2030-01-31 12:00:00.123456+00": a Date would lose what comes after the milliseconds. */
function microseconds(time: string): number {
  const [, seconds, fraction = ''] = /^(\S+ [\d:]+)(?:\.(\d+))?\+00$/.exec(time) ?? []
  if (seconds === undefined) throw new Error(`not a time: ${time}`)
  return Date.parse(`${seconds.replace(' ', 'T')}Z`) * 1000 + Number(fraction.padEnd(6, '0'))
}

class Reader {
  readonly message: Buffer
  #at = 0

  constructor(message: Buffer) {
    this.message = message
  }

  char(): string {
    return String.fromCharCode(this.message.readUInt8(this.#at++))
  }

  int32(): number {
    this.#at += 4
    return this.message.readUInt32BE(this.#at - 4)
  }

  relation(): Relation {
    const [schema, table] = [this.#word(), this.#word()]
    this.#at += 1
    const columns = Array.from({ length: this.#int16() }, () => {
      this.#at += 1
      const name = this.#word()
      this.#at += 8
      return name
    })
    return { schema, table, columns }
  }

  tuple(columns: readonly string[]): Map<string, string | null> {
    const count = this.#int16()
    const row = new Map<string, string | null>()
    for (let column = 0; column < count; column += 1) {
      const kind = this.char()
      // 'u' is a large value that did not change and is not logged again.
      const value = kind === 't' ? this.#text(this.int32()) : null
      row.set(columns[column] ?? '', value)
    }
    return row
  }

  #int16(): number {
    this.#at += 2
    return this.message.readUInt16BE(this.#at - 2)
  }

  #text(length: number): string {
    this.#at += length
    return this.message.toString('utf8', this.#at - length, this.#at)
  }

  #word(): string {
    const end = this.message.indexOf(0, this.#at)
    const word = this.#text(end - this.#at)
    this.#at += 1
    return word
  }
}
