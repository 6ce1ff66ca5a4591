/**
 * The one control connection of a process: grants, renewals and notifications travel on it and nothing else does, so that an
 * application that exhausts its own pool does not lose its leases.
 *
 * It connects when it is first needed and again after a loss, whenever somebody has something to ask. Who asks again, and how
 * often, is decided above: losing a connection is not losing a lease.
 */
import { EventEmitter } from 'node:events'
import type { CompiledQuery } from 'kysely'
import pg from 'pg'
import type { Clock } from './clock.ts'
import { ClosedError, ConnectionError, fromDriver, InvalidArgumentError } from './errors.ts'
import { jittered, type Random } from './jitter.ts'
import { describeError, type Logger } from './logger.ts'
import { backendPid, commitLazily, type ExecuteOptions, type Executor } from './queries.ts'
import { Wakeup } from './wakeup.ts'

interface ConnectionEvents {
  /** The session ended, for whatever reason. The next one knows nothing of it: no LISTEN, no advisory lock. */
  lost: []
  /** A notification came on a channel. */
  notified: [channel: string, message: string]
}

interface ConnectionDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How long connecting, and a query that names no time of its own, may take. */
  readonly timeoutMs: number
  /** How long to pause after a failed attempt to connect; longer after several. */
  readonly retryIntervalMs: number
  /** The option that says where to connect, for errors. Default `connection`. */
  readonly option?: string
}

const PAUSE_FACTOR_MAX = 4

/** How to read the types that come back: bool, int4, float8 and jsonb; all others are text. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  23: Number,
  701: Number,
  3802: JSON.parse,
}

export class ControlConnection extends EventEmitter<ConnectionEvents> implements Executor {
  readonly #config: pg.ClientConfig
  readonly #dependencies: ConnectionDependencies
  #session: Promise<pg.Client> | undefined
  /** Sessions whose last answers may be undone by a fail-over. */
  readonly #distrusted = new WeakSet<pg.Client>()
  /** Sessions that no pooler shares with others: what is set or prepared in them stays there. */
  readonly #owned = new WeakSet<pg.Client>()
  readonly #closing: Wakeup
  #failures = 0
  #closed = false

  /**
   * @param config - where to connect, as for pg's `Client`
   * @throws InvalidArgumentError if the driver does not understand the configuration.
   */
  constructor(config: pg.ClientConfig, dependencies: ConnectionDependencies) {
    super()
    // Each watcher of a lease may listen here.
    this.setMaxListeners(0)
    this.#closing = new Wakeup(dependencies.clock)
    this.#config = config
    this.#dependencies = dependencies
    this.#makeClient()
  }

  /** @throws ConnectionError if there is no answer in time: then the session is given up, and the outcome is unknown. */
  async execute<Row>(query: CompiledQuery<Row>, options: ExecuteOptions = {}): Promise<Row[]> {
    const client = await this.#connected()
    try {
      return await this.#ask(client, query, options)
    } catch (error) {
      throw fromDriver(error)
    }
  }

  /** Whether a connection pooler is in between: it names a process of its own at the start of a session, not the server's. */
  async isPooled(): Promise<boolean> {
    return !this.#owned.has(await this.#connected())
  }

  /** Ends the session in an orderly way, bounded by the query timeout. Nothing can be asked afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    this.#closing.wake()
    const session = this.#session
    if (session === undefined) return
    const client = await session.catch(() => undefined)
    if (client === undefined) return
    const giveUp = setTimeout(() => destroySocket(client), this.#dependencies.timeoutMs)
    await client.end().catch(() => undefined)
    clearTimeout(giveUp)
  }

  #connected(): Promise<pg.Client> {
    if (this.#closed) throw new ClosedError()
    const { logger } = this.#dependencies
    // Whoever asks shares this attempt, and its pause: a server that is down is not asked once for each of them.
    this.#session ??= this.#connect().then(
      (client) => {
        this.#failures = 0
        return client
      },
      (error: unknown) => {
        this.#session = undefined
        this.#failures += 1
        // Once, as whoever asks tries again in silence.
        if (this.#failures === 1 && !this.#closed) {
          logger.warn({ error: describeError(error) }, 'cannot connect to the database, trying again')
        }
        throw error
      },
    )
    return this.#session
  }

  async #connect(): Promise<pg.Client> {
    const { random, retryIntervalMs, logger } = this.#dependencies
    if (this.#failures > 0) {
      const pauseMs = retryIntervalMs * Math.min(this.#failures, PAUSE_FACTOR_MAX)
      await this.#closing.wait(jittered(pauseMs, random, 0.5))
      if (this.#closed) throw new ClosedError()
    }
    const client = this.#makeClient()
    // Before connecting: a client without an error listener ends the process when the server ends the session.
    client.on('error', (error) => {
      logger.debug({ error: describeError(error) }, 'the control connection reported an error')
      // After a FATAL the driver takes no more queries, but it may take the socket a long time to notice.
      destroySocket(client)
    })
    client.on('notice', (notice) => {
      // Committed here, but not on the standby that this server was to wait for: a fail-over would undo it.
      if (notice.routine !== 'SyncRepWaitForLSN') return
      this.#distrusted.add(client)
      destroySocket(client)
    })
    try {
      await client.connect()
    } catch (error) {
      // A socket that never got through would otherwise live on.
      destroySocket(client)
      throw fromDriver(error)
    }
    if (this.#closed) {
      destroySocket(client)
      throw new ConnectionError('The connection was closed while it was being made')
    }
    await this.#settle(client)
    client.on('notification', (message) => this.emit('notified', message.channel, message.payload ?? ''))
    client.once('end', () => {
      this.#session = undefined
      if (!this.#closed) logger.warn({}, 'lost a connection to the database')
      this.emit('lost')
    })
    logger.debug({}, 'the control connection is up')
    return client
  }

  async #ask<Row>(
    client: pg.Client,
    query: CompiledQuery<Row>,
    options: ExecuteOptions = {},
  ): Promise<Row[]> {
    const name = this.#owned.has(client) ? statementName(query.sql) : undefined
    const ask = (preparedAs: string | undefined) =>
      client.query({
        // Prepared at its first use, so that the server does not parse and plan it each time.
        name: preparedAs,
        text: query.sql,
        values: [...query.parameters],
        // On its expiry the driver destroys the socket, as this is a pipeline: what is behind an unanswered query waits for ever.
        query_timeout: Math.max(1, Math.ceil(options.timeoutMs ?? this.#dependencies.timeoutMs)),
      } as pg.QueryConfig)
    const result = await ask(name).catch((error: unknown) => {
      // The first one of that text failed to be prepared, and those behind it in the pipeline had relied on it. They were not run.
      if (name !== undefined && isUnprepared(error)) return ask(undefined)
      throw error
    })
    // The answer was on its way with the warning.
    if (this.#distrusted.has(client))
      throw new ConnectionError('The commit did not wait for its synchronous standby')
    return result.rows
  }

  /**
   * What is granted or renewed is made durable by the functions themselves. All else on this connection (places in line, releases) costs
   * no more than time if a crash undoes it, and others wait for it: it need not wait for the disk. A session that is shared through a
   * pooler stays as it is.
   */
  async #settle(client: pg.Client): Promise<void> {
    const executor = { execute: <Row>(query: CompiledQuery<Row>) => this.#ask<Row>(client, query) }
    try {
      const isOwn = (client as { processID?: number }).processID === (await backendPid(executor))
      if (!isOwn) return
      this.#owned.add(client)
      await commitLazily(executor)
    } catch (error) {
      destroySocket(client)
      throw fromDriver(error)
    }
  }

  #makeClient(): pg.Client {
    try {
      return new pg.Client({
        application_name: 'pg-elect',
        keepAlive: true,
        keepAliveInitialDelayMillis: 5000,
        connectionTimeoutMillis: this.#dependencies.timeoutMs,
        ...this.#config,
        ...({ binary: false } as pg.ClientConfig),
        // Many callers share this connection: they need not wait for each other's round trips.
        pipeline: true,
        // Whatever the application has set for its own rows, here each type is read as this package expects it.
        types: { getTypeParser: (oid: number) => PARSERS[oid] ?? String } as pg.CustomTypesConfig,
      })
    } catch {
      // No cause: the driver's error carries the whole connection string, with its password.
      throw new InvalidArgumentError(
        `Invalid ${this.#dependencies.option ?? 'connection'}: expected a connection string such as postgres://user@host:5432/database, or the options of a pg Client, got something that the driver cannot read`,
      )
    }
  }
}

/** Statements by their text: a small and fixed number, as values are passed beside them. */
const statementNames = new Map<string, string>()

function statementName(text: string): string {
  const known = statementNames.get(text)
  if (known !== undefined) return known
  const name = `pg_elect_${statementNames.size}`
  statementNames.set(text, name)
  return name
}

/** SQLSTATE 26000: there is no prepared statement of that name. */
function isUnprepared(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '26000'
}

/** Gives a connection up without a goodbye, which a dead peer would never answer. */
function destroySocket(client: pg.Client): void {
  client.connection.stream.destroy()
}
