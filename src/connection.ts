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
import { ClosedError, ConnectionError, fromDriver, InvalidArgumentError } from './errors.ts'
import { describeError, type Logger } from './logger.ts'
import { backendPid, type ExecuteOptions, type Executor } from './queries.ts'

interface ConnectionEvents {
  /** The session ended, for whatever reason. The next one knows nothing of it: no LISTEN, no advisory lock. */
  lost: []
  /** A notification came on a channel. */
  notified: [channel: string]
}

export class ControlConnection extends EventEmitter<ConnectionEvents> implements Executor {
  readonly #config: pg.ClientConfig
  readonly #timeoutMs: number
  readonly #logger: Logger
  #session: Promise<pg.Client> | undefined
  #closed = false

  /**
   * @param config - where to connect, as for pg's `Client`
   * @param timeoutMs - how long connecting, and a query that names no time of its own, may take
   * @throws InvalidArgumentError if the driver does not understand the configuration.
   */
  constructor(config: pg.ClientConfig, timeoutMs: number, logger: Logger) {
    super()
    // Each watcher of a lease may listen here.
    this.setMaxListeners(0)
    this.#config = config
    this.#timeoutMs = timeoutMs
    this.#logger = logger
    this.#makeClient()
  }

  /** @throws ConnectionError if there is no answer in time: then the session is given up, and the outcome is unknown. */
  async execute<Row>(query: CompiledQuery<Row>, options: ExecuteOptions = {}): Promise<Row[]> {
    const client = await this.#connected()
    try {
      const result = await client.query({
        text: query.sql,
        values: [...query.parameters],
        // On its expiry the driver destroys the socket, as this is a pipeline: what is behind an unanswered query waits for ever.
        query_timeout: Math.max(1, Math.ceil(options.timeoutMs ?? this.#timeoutMs)),
      } as pg.QueryConfig)
      return result.rows
    } catch (error) {
      throw fromDriver(error)
    }
  }

  /** Whether a connection pooler is in between: it names a process of its own at the start of a session, not the server's. */
  async isPooled(): Promise<boolean> {
    const pid = await backendPid(this)
    const client = await this.#connected()
    return (client as { processID?: number }).processID !== pid
  }

  /** Ends the session in an orderly way, bounded by the query timeout. Nothing can be asked afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    const session = this.#session
    if (session === undefined) return
    const client = await session.catch(() => undefined)
    if (client === undefined) return
    const giveUp = setTimeout(() => destroySocket(client), this.#timeoutMs)
    await client.end().catch(() => undefined)
    clearTimeout(giveUp)
  }

  #connected(): Promise<pg.Client> {
    if (this.#closed) throw new ClosedError()
    this.#session ??= this.#connect().catch((error: unknown) => {
      this.#session = undefined
      throw error
    })
    return this.#session
  }

  async #connect(): Promise<pg.Client> {
    const client = this.#makeClient()
    // Before connecting: a client without an error listener ends the process when the server ends the session.
    client.on('error', (error) => {
      this.#logger.debug({ error: describeError(error) }, 'the control connection reported an error')
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
    client.on('notification', (message) => this.emit('notified', message.channel))
    client.once('end', () => {
      this.#session = undefined
      if (!this.#closed) this.#logger.warn({}, 'lost the control connection to the database')
      this.emit('lost')
    })
    this.#logger.debug({}, 'the control connection is up')
    return client
  }

  #makeClient(): pg.Client {
    try {
      return new pg.Client({
        application_name: 'pg-elect',
        keepAlive: true,
        keepAliveInitialDelayMillis: 5000,
        connectionTimeoutMillis: this.#timeoutMs,
        ...this.#config,
        // Many callers share this connection: they need not wait for each other's round trips.
        pipeline: true,
      })
    } catch {
      // No cause: the driver's error carries the whole connection string, with its password.
      throw new InvalidArgumentError(
        'Invalid connection: expected a connection string such as postgres://user@host:5432/database, or the options of a pg Client, got something that the driver cannot read',
      )
    }
  }
}

/** Gives a connection up without a goodbye, which a dead peer would never answer. */
function destroySocket(client: pg.Client): void {
  client.connection.stream.destroy()
}
