/** A real PostgreSQL that can be killed, frozen, restarted and starved. It ends with its test, and also when the test is killed. */
import { rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { embeddedBinariesFolder } from '../../support/postgres/binaries.ts'
import { startEmbeddedPostgres } from '../../support/postgres/embedded.ts'
import { installSchema } from '../../support/postgres/install.ts'
import { type LaunchPlan, launch, type ServerProcess, untilReady } from '../../support/postgres/process.ts'
import type { ServerSettings } from '../../support/postgres/server.ts'
import { freezeServer, killServer, thawServer } from './server-processes.ts'

const START_TIMEOUT_MS = 30_000
const PORT_ATTEMPTS = 20

/** Durable as the defaults are: `fsync` stays on. */
const settings: ServerSettings = {
  max_connections: 100,
  shared_buffers: '32MB',
  // In the data folder, so that nothing is left behind by a server that is killed and never started again.
  dynamic_shared_memory_type: 'mmap',
  wal_keep_size: '64MB',
}

/** What a server is made of. */
export interface ServerParts {
  readonly plan: LaunchPlan
  readonly port: number
  /** Of the superuser, to database postgres. */
  readonly connectionString: string
  readonly process: ServerProcess
  /** Removes what is left once no process runs. */
  cleanUp(): Promise<void>
}

/** See {@link startFaultServer}. All faults resolve once they have happened. */
export class FaultServer implements AsyncDisposable {
  readonly plan: LaunchPlan
  readonly port: number
  readonly connectionString: string
  readonly #cleanUp: () => Promise<void>
  #process: ServerProcess
  #frozen = false
  #stopping: Promise<void> | undefined

  constructor(parts: ServerParts) {
    this.plan = parts.plan
    this.port = parts.port
    this.connectionString = parts.connectionString
    this.#process = parts.process
    this.#cleanUp = () => parts.cleanUp()
  }

  get dataFolder(): string {
    return join(this.plan.folder, 'data')
  }

  get isRunning(): boolean {
    return !this.#process.hasEnded()
  }

  /** Opens a session; whoever opens it ends it, or the server does. */
  async connect(overrides: pg.ClientConfig = {}): Promise<pg.Client> {
    const { connectionString } = this
    const client = new pg.Client({
      connectionString,
      connectionTimeoutMillis: START_TIMEOUT_MS,
      ...overrides,
    })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Does something on a session of its own. */
  async ask<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.connect()
    try {
      return await work(client)
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  /** `kill -9` of the postmaster and every session at one moment: no process gets to say or write another thing. */
  async kill(): Promise<void> {
    await killServer(this.#process.pid, this.dataFolder)
    this.#frozen = false
    await this.#process.end
  }

  /** Starts a server that was killed, on the same data and port, and waits until it has recovered. */
  async start(): Promise<void> {
    // A client that tries to reconnect all the time may have got just this port as its own.
    const deadline = performance.now() + START_TIMEOUT_MS
    for (;;) {
      this.#process = launch(this.plan, this.port)
      try {
        await untilReady(this.#process, this.connectionString, START_TIMEOUT_MS)
        return
      } catch (error) {
        const portTaken = this.#process.hasEnded() && /could not bind/.test(await this.#process.log())
        if (!portTaken || performance.now() > deadline) throw error
        await delay(100)
      }
    }
  }

  /** An immediate shutdown, without a checkpoint, and a start at once: sessions are told, and recovery follows. */
  async restartImmediately(): Promise<void> {
    process.kill(this.#process.pid, 'SIGQUIT')
    await this.#process.end
    await this.start()
  }

  /** SIGSTOP for all its processes: connections stay open and nobody answers. */
  async freeze(): Promise<void> {
    await freezeServer(this.#process.pid)
    this.#frozen = true
  }

  async thaw(): Promise<void> {
    await thawServer(this.#process.pid)
    this.#frozen = false
  }

  /** `pg_terminate_backend` for all sessions but its own. @returns how many there were */
  async terminateSessions(): Promise<number> {
    return this.ask(async (client) => {
      const { rows } = await client.query<{ count: number }>(
        `SELECT count(pg_terminate_backend(pid))::int AS count FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )
      return rows[0]?.count ?? 0
    })
  }

  /** Takes all connections that are left, those kept for superusers as well. @returns a call that gives them back */
  async exhaustConnections(): Promise<() => Promise<void>> {
    const clients: pg.Client[] = []
    for (;;) {
      try {
        clients.push(await this.connect())
      } catch (error) {
        if ((error as { code?: string }).code !== '53300') throw error
        return async () => void (await Promise.allSettled(clients.map((client) => client.end())))
      }
    }
  }

  /** Changes settings that take effect without a restart. */
  async configure(changes: ServerSettings): Promise<void> {
    await this.ask(async (client) => {
      for (const [name, value] of Object.entries(changes)) {
        await client.query(`ALTER SYSTEM SET ${name} = ${pg.escapeLiteral(String(value))}`)
      }
      await client.query('SELECT pg_reload_conf()')
    })
  }

  /** Ends it and removes its data. Calling it again does nothing. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<void> {
    if (this.isRunning) {
      if (this.#frozen) await this.thaw()
      // A fast shutdown would wait for standbys, and what is written is thrown away.
      process.kill(this.#process.pid, 'SIGQUIT')
      const killing = new AbortController()
      await Promise.race([this.#process.end, delay(7_000, undefined, killing).catch(() => undefined)])
      killing.abort()
      if (this.isRunning) await this.kill()
    }
    await this.#cleanUp()
  }
}

/**
 * Starts a server with the schema installed, which ends with the test that called this.
 *
 * @param port - where clients will look for it; else a free one
 */
export async function startFaultServer(changes: ServerSettings = {}, port?: number): Promise<FaultServer> {
  const embedded = await startEmbeddedPostgres({
    binariesFolder: process.env.PG_ELECT_TEST_BINARIES || embeddedBinariesFolder(),
    settings: { ...settings, ...changes },
    pickPort: async () => port ?? (await quietPort()),
  })
  const server = new FaultServer({
    plan: embedded.plan,
    port: embedded.port,
    connectionString: embedded.connectionString,
    process: embedded.process,
    cleanUp: async () => {
      await rm(embedded.folder, { recursive: true, force: true, maxRetries: 20 })
      await embedded.stop()
    },
  })
  onTestFinished(() => server.stop())
  await installSchema(server.connectionString)
  return server
}

/**
 * A free port outside of the range from which clients get theirs: a server that was killed must find its port again, and a client that
 * reconnects to a port of that range can end up connected to itself.
 */
export async function quietPort(): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const probe = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (isFree) return port
    if (attempt === PORT_ATTEMPTS) throw new Error(`no free port found in ${attempt} attempts`)
  }
}
