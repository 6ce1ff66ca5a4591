import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { serverState } from './connection-queries.ts'
import { fromDriver, PoolerError, SchemaMissingError, SchemaNewerError } from './errors.ts'
import { executorOf } from './guard.ts'
import { HostRound, type Opened } from './host-round.ts'
import { type ConnectionOptions, resolveHosts } from './hosts.ts'
import type { Logger } from './logger.ts'
import { backendPid, schemaVersion } from './queries.ts'

/** Version of the schema that this package installs: the number of its last migration. */
export const SCHEMA_VERSION = 1

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url))

/**
 * Brings schema `elect` to this package's version. Does nothing, and needs no rights to, if it is there already. Any number of
 * processes may do so at once.
 *
 * @throws SchemaNewerError if the database has a newer one; AccessDeniedError if the role may not install; PoolerError behind a connection
 * pooler, unless there is nothing to do.
 */
export async function installSchema(config: ConnectionOptions, logger: Logger): Promise<void> {
  const client = await new HostRound(resolveHosts(config)).open(connect, (passedOver) => void end(passedOver))
  try {
    const found = await installedVersion(client)
    if (found > SCHEMA_VERSION) throw new SchemaNewerError(found, SCHEMA_VERSION)
    if (found === SCHEMA_VERSION) return
    await requireOwnSession(client)
    await migrate(client, logger)
  } catch (error) {
    throw fromDriver(error)
  } finally {
    await end(client)
  }
}

async function connect(config: pg.ClientConfig): Promise<Opened<pg.Client>> {
  const client = new pg.Client({
    application_name: 'pg-elect install',
    connectionTimeoutMillis: 10_000,
    ...config,
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return { session: client, server: await serverState(executorOf(client)) }
  } catch (error) {
    await end(client)
    throw error
  }
}

async function end(client: pg.Client): Promise<void> {
  await client.end().catch(() => undefined)
}

/** 0: none. */
async function installedVersion(client: pg.Client): Promise<number> {
  try {
    return await schemaVersion(executorOf(client))
  } catch (error) {
    if (fromDriver(error) instanceof SchemaMissingError) return 0
    throw error
  }
}

/** Installers exclude each other by a lock of their session: a pooler would keep it for whoever is lent that session next. */
async function requireOwnSession(client: pg.Client): Promise<void> {
  const { processID } = client as { processID?: number }
  if (processID === (await backendPid(executorOf(client)))) return
  throw new PoolerError(
    'Installing schema elect needs a session of its own, but a connection pooler is in between. Call install() on a client that connects to the server directly',
  )
}

async function migrate(client: pg.Client, logger: Logger): Promise<void> {
  // Only here: who does not install need not load it.
  const { runner } = await import('node-pg-migrate')
  const applied = await runner({
    dbClient: client,
    dir: migrationsFolder,
    direction: 'up',
    migrationsSchema: 'elect',
    createMigrationsSchema: true,
    migrationsTable: 'migrations',
    // Installers side by side go one at a time, and those behind the first find nothing to do.
    advisoryLockMode: 'wait',
    singleTransaction: true,
    logger: {
      debug: (message) => logger.debug({}, message),
      info: (message) => logger.debug({}, message),
      warn: (message) => logger.warn({}, message),
      error: (message) => logger.error({}, message),
    },
  })
  for (const { name } of applied) logger.info({ migration: name }, 'applied a migration of schema elect')
}
