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
import { type ServerState, serverState, settleConnection } from './connection-queries.ts'
import { destroySocket, makeClient, saysReadOnly, saysUnprepared, statementName } from './driver-client.ts'
import { ClosedError, ConnectionError, fromDriver, neverSent } from './errors.ts'
import { HostRound, type Opened } from './host-round.ts'
import { type ConnectionOptions, resolveHosts, type TargetSession } from './hosts.ts'
import { jittered, type Random } from './jitter.ts'
import { describeError, type Logger } from './logger.ts'
import type { ExecuteOptions, Executor } from './queries.ts'
import { send } from './statement.ts'
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
  /** The kinds of server that may be asked for. Default: those that can be written to. */
  readonly allowed?: readonly TargetSession[]
  /** A session whose client is gone is to end in the server, too, after about this long. */
  readonly ttlMs: number
}

const PAUSE_FACTOR_MAX = 4

/** However long the TTL: a session that nobody reads from is of no use to anybody. */
const DEAD_AFTER_MS_MAX = 60_000

/** The server's clock may be slewed while a connection is made. */
const AGE_SLACK_MS = 500

export class ControlConnection extends EventEmitter<ConnectionEvents> implements Executor {
  readonly #round: HostRound
  readonly #dependencies: ConnectionDependencies
  /** The one in use, if any. */
  #client: pg.Client | undefined
  #session: Promise<pg.Client> | undefined
  /** Sessions whose last answers may be undone by a fail-over. */
  readonly #distrusted = new WeakSet<pg.Client>()
  /** Sessions that no pooler shares with others: what is set or prepared in them stays there. */
  readonly #owned = new WeakSet<pg.Client>()
  readonly #closing: Wakeup
  /** How many have something to ask once there is a session. */
  #waiting = 0
  #failures = 0
  #closed = false

  /**
   * @param config - where to connect, as for pg's `Client`, but with any number of hosts
   * @throws InvalidArgumentError if the configuration cannot be understood.
   */
  constructor(config: ConnectionOptions, dependencies: ConnectionDependencies) {
    super()
    // Each watcher of a lease may listen here.
    this.setMaxListeners(0)
    this.#closing = new Wakeup(dependencies.clock)
    this.#dependencies = dependencies
    const hosts = resolveHosts(config, dependencies)
    this.#round = new HostRound(hosts)
    for (const host of hosts.hosts) makeClient(host.config, dependencies.timeoutMs, dependencies.option)
  }

  /** @throws ConnectionError if there is no answer in time: then the session is given up, and the outcome is unknown. */
  execute<Row>(query: CompiledQuery<Row>, options?: ExecuteOptions): Promise<Row[]> {
    const client = this.#client
    // Nobody is overtaken: those who wait for the session have asked before.
    if (client === undefined || this.#waiting > 0 || this.#closed || client.connection.stream.destroyed)
      return this.#executeOnceConnected(query, options)
    return this.#ask(client, query, options).catch(throwFromDriver)
  }

  async #executeOnceConnected<Row>(query: CompiledQuery<Row>, options?: ExecuteOptions): Promise<Row[]> {
    this.#waiting += 1
    let asking: Promise<Row[]>
    try {
      asking = this.#ask(await this.#connected(), query, options)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw neverSent(error)
      throw new ConnectionError(error.message, { cause: error.cause, mayHaveTakenEffect: false })
    } finally {
      this.#waiting -= 1
    }
    return asking.catch(throwFromDriver)
  }

  /** Whether a connection pooler is in between, which lends the session to others, too. */
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

  /** The session at hand, or a new one. */
  async #connected(): Promise<pg.Client> {
    for (;;) {
      const session = this.#establish()
      const client = await session
      if (!client.connection.stream.destroyed) return client
      // One that has been given up is lost in a moment: then there is a new one.
      if (session === this.#session) await new Promise((resolve) => client.once('end', resolve))
    }
  }

  #establish(): Promise<pg.Client> {
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
    const client = await this.#round.open((config) => this.#open(config), destroySocket)
    // It may have broken since its last answer.
    if (client.connection.stream.destroyed) throw new ConnectionError('The connection broke at its start')
    this.#client = client
    client.on('notification', (message) => this.emit('notified', message.channel, message.payload ?? ''))
    client.once('end', () => {
      this.#session = undefined
      this.#client = undefined
      if (!this.#closed) logger.warn({}, 'lost a connection to the database')
      this.emit('lost')
    })
    logger.debug({}, 'the control connection is up')
    return client
  }

  /** Connects to one host, asks what it is, and settles the session if that is this connection's alone. */
  async #open(config: pg.ClientConfig): Promise<Opened<pg.Client>> {
    if (this.#closed) throw new ClosedError()
    const { clock, logger, ttlMs, timeoutMs, option } = this.#dependencies
    const client = makeClient(config, timeoutMs, option)
    // All who ask while it is being given up wait for its end.
    client.setMaxListeners(0)
    // Before connecting: a client without an error listener ends the process when the server ends the session.
    client.on('error', (error) => {
      logger.debug({ error: describeError(error) }, 'the control connection reported an error')
      // After a FATAL the driver takes no more queries, but it may take the socket a long time to notice.
      destroySocket(client)
    })
    client.on('notice', (notice) => {
      // Committed here, but not on the standby that this server was to wait for: a fail-over would undo it. Known by the place in the
      // server that it comes from, as its words are in the server's language.
      if (notice.routine !== 'SyncRepWaitForLSN') return
      this.#distrusted.add(client)
      destroySocket(client)
    })
    client.connection.on('parameterStatus', (status: { parameterName: string; parameterValue: string }) => {
      // Somebody has made the server read-only, such as before a switch to another. Do not wait for the next write to find that out.
      if (status.parameterName !== 'default_transaction_read_only' || status.parameterValue !== 'on') return
      if (this.#round.mustWrite && client === this.#client) this.#leave(client)
    })
    const startedMs = clock.now().monotonicMs
    try {
      await client.connect()
      if (this.#closed) throw new ClosedError()
      const executor = { execute: <Row>(query: CompiledQuery<Row>) => this.#ask<Row>(client, query) }
      const { processID: backend } = client as { processID?: number }
      const server = await serverState(executor)
      const connectingMs = clock.now().monotonicMs - startedMs
      if (isOwn(server, backend, connectingMs)) {
        this.#owned.add(client)
        const deadAfterMs = Math.min(ttlMs, DEAD_AFTER_MS_MAX)
        await settleConnection(executor, { backend: server.backend, deadAfterMs }).catch(unlessRefused)
      }
      return { session: client, server }
    } catch (error) {
      // A socket that never got through would otherwise live on.
      destroySocket(client)
      throw fromDriver(error)
    }
  }

  /** Gives up a session in which nothing can be written any more: the next one is on another server, if there is one. */
  #leave(client: pg.Client): void {
    destroySocket(client)
    if (client !== this.#client) return
    this.#client = undefined
    this.#round.turnAway()
    // The only server that there is need not be asked again at once.
    if (!this.#round.hasOthers) this.#failures = 1
  }

  #ask<Row>(
    client: pg.Client,
    query: CompiledQuery<Row>,
    { timeoutMs = this.#dependencies.timeoutMs }: ExecuteOptions = {},
  ): Promise<Row[]> {
    // Prepared at its first use, so that the server does not parse and plan it each time.
    const name = this.#owned.has(client) ? statementName(query.sql) : undefined
    const request = { name, text: query.sql, values: query.parameters, timeoutMs }
    const answered = (rows: Row[]) => {
      // The answer was on its way with the warning.
      if (this.#distrusted.has(client))
        throw new ConnectionError('The commit did not wait for its synchronous standby')
      return rows
    }
    return send<Row>(client, request).then(answered, (error: unknown) => {
      // The first one of that text failed to be prepared, and those behind it in the pipeline had relied on it. They were not run.
      if (name !== undefined && saysUnprepared(error))
        return send<Row>(client, { ...request, name: undefined }).then(answered)
      if (saysReadOnly(error)) this.#leave(client)
      throw error
    })
  }
}

/**
 * Whether nobody else is lent the session. A pooler names a process of its own at the start of a session; but some count them, and so
 * come by the right number now and then: then the server's process was mostly there before.
 */
function isOwn(server: ServerState, backend: number | undefined, connectingMs: number): boolean {
  return server.backend === backend && server.ageMs <= connectingMs + AGE_SLACK_MS
}

function throwFromDriver(error: unknown): never {
  throw fromDriver(error)
}

/** An unsettled session works, too: where the schema is not installed yet, or this role may not call it. */
function unlessRefused(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return false
  throw error
}
