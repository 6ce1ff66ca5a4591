/**
 * The project's own SQL in this process (PGlite), on a clock that a test moves: `clock_timestamp()` follows `Date.now`.
 *
 * There is one backend, so nothing here says anything about locks. That a lock was waited for can be acted out, though: time passes
 * where a call takes its first row lock. A row-level policy that is asked only by statements that lock or update tells of that moment, so
 * the functions themselves run as they stand in `sql/`.
 */
import { readFile } from 'node:fs/promises'
import { PGlite } from '@electric-sql/pglite'
import { expandIncludes } from '../../../migrations/support/from-sql-file.js'
import type { Fault } from '../support/fault.ts'
import { faultyText } from '../support/faulty-text.ts'

const projectFolder = new URL('../../../', import.meta.url)

/** What one step asks of the database. */
export interface Command {
  /** What the clock of the server shows as it comes. */
  readonly at: number
  /** How long it waits for the first row lock. */
  readonly waitMs: number
  readonly sql: string
}

/** What came of it, and how the tables stand after it. */
export interface Seen {
  /** A row for each, or the SQLSTATE of its refusal. */
  readonly answer: readonly Record<string, unknown>[] | string
  readonly state: State
}

/** The tables, in milliseconds; see `harness.sql`. */
export interface State {
  readonly leases: readonly StoredLease[]
  readonly places: readonly StoredPlace[]
  readonly shared: readonly StoredShared[]
}

export type StoredLease = readonly [
  name: string,
  holder: string | null,
  token: number,
  version: number,
  epoch: number,
  renewedAt: number,
  expiresAt: number | null,
  ttl: number | null,
  partOf: string | null,
]
export type StoredPlace = readonly [
  line: string,
  candidate: string,
  priority: number,
  isExclusive: boolean,
  ttl: number,
  seenAt: number,
  expiresAt: number,
]
export type StoredShared = readonly [
  name: string,
  capacity: number | null,
  token: number,
  exclusiveToken: number | null,
  writtenAt: number,
]

/** The part of the engine's file system by which its SQL speaks to this process. */
interface FileSystem {
  stat(path: string, ...rest: unknown[]): unknown
}

const CALL = '/virtual/call/'
const LOCK = '/virtual/lock'

/** Old row versions are in the way of all that come after. */
const CLEAN_EACH = 25

export class VirtualDatabase {
  readonly #engine: PGlite
  #nowMs = Date.UTC(2030, 0, 1)
  #waitMs = 0
  #runs = 0

  private constructor(engine: PGlite) {
    this.#engine = engine
  }

  static async open(): Promise<VirtualDatabase> {
    const engine = await PGlite.create()
    const database = new VirtualDatabase(engine)
    database.#hear((engine as unknown as { Module: { FS: FileSystem } }).Module.FS)
    await engine.exec(`BEGIN; ${await expandIncludes(new URL('sql/install.sql', projectFolder))}; COMMIT`)
    await engine.exec(await readFile(new URL('harness.sql', import.meta.url), 'utf8'))
    return database
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  /** Runs the commands one after the other on empty tables. */
  async run(commands: readonly Command[]): Promise<Seen[]> {
    this.#runs += 1
    if (this.#runs % CLEAN_EACH === 0) await this.#clean()
    const { rows } = await this.#virtually(() =>
      this.#engine.query<{ seen: Seen }>('SELECT seen FROM public.virtual_run($1) AS seen', [
        JSON.stringify(commands),
      ]),
    )
    return rows.map(({ seen }) => seen)
  }

  /** Puts a fault into the function, for as long as it takes. */
  async withFault<T>(fault: Pick<Fault, 'file' | 'from' | 'to'>, run: () => Promise<T>): Promise<T> {
    const text = await readFile(new URL(fault.file, projectFolder), 'utf8')
    await this.#virtually(() => this.#engine.exec(faultyText(text, fault)))
    try {
      return await run()
    } finally {
      await this.#virtually(() => this.#engine.exec(text))
    }
  }

  async #clean(): Promise<void> {
    const tables = ['leases', 'candidates', 'shared_leases', 'epochs', 'settings'].map(
      (name) => `elect.${name}`,
    )
    await this.#virtually(() => this.#engine.exec('SELECT public.virtual_clear()'))
    await this.#virtually(() => this.#engine.exec(`VACUUM ${tables.join()}`))
  }

  #hear(files: FileSystem): void {
    const stat = files.stat
    files.stat = (path, ...rest) => {
      if (path.startsWith(CALL)) {
        const [at, waitMs] = path.slice(CALL.length).split('/').map(Number)
        this.#nowMs = at as number
        this.#waitMs = waitMs as number
      } else if (path === LOCK) {
        this.#nowMs += this.#waitMs
        this.#waitMs = 0
      }
      return stat.call(files, path, ...rest)
    }
  }

  /**
   * All that the engine does. The timers that it sets are for sessions that are idle or wait for another, and would fire between two
   * calls, at another time: it gets none.
   */
  async #virtually<T>(query: () => Promise<T>): Promise<T> {
    const { setTimeout } = globalThis
    const { now } = Date
    Date.now = () => this.#nowMs
    globalThis.setTimeout = (() => 0) as unknown as typeof setTimeout
    try {
      return await query()
    } finally {
      globalThis.setTimeout = setTimeout
      Date.now = now
    }
  }
}
