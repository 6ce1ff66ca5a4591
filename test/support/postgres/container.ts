import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { PostgresServer, ServerSettings } from './server.ts'

/** Starts PostgreSQL in a container; PG_ELECT_TEST_IMAGE names another image than the official one. */
export async function startContainerPostgres(settings: ServerSettings = {}): Promise<PostgresServer> {
  // Loaded here only: the library takes longer to load than an embedded server takes to start.
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
  const image = process.env.PG_ELECT_TEST_IMAGE || 'postgres:17-alpine'
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const container = await new PostgreSqlContainer(image)
    .withDatabase('postgres')
    .withUsername('postgres')
    .withCommand(['postgres', ...flags])
    .start()
  let stopping: Promise<unknown> | undefined
  const stop = async () => {
    stopping ??= container.stop()
    await stopping
  }
  const connectionString = container.getConnectionUri()
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 })
  try {
    await client.connect()
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
    return {
      description: `container ${image}, PostgreSQL ${rows[0]?.server_version}`,
      connectionString,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  } finally {
    await client.end()
  }
}

/** Whether a Docker engine answers, found out within about two seconds and without loading the library. */
export async function dockerAnswers(timeoutMs = 2_000): Promise<boolean> {
  const answers = await Promise.all(engineAddresses().map((address) => answersAt(address, timeoutMs)))
  return answers.includes(true)
}

/** The places where testcontainers looks. */
function engineAddresses(): URL[] {
  const named = process.env.DOCKER_HOST
  if (named) return URL.canParse(named) ? [new URL(named)] : []
  const runtimeFolder = process.env.XDG_RUNTIME_DIR ?? `/run/user/${process.getuid?.()}`
  const sockets = [
    '/var/run/docker.sock',
    join(runtimeFolder, 'docker.sock'),
    join(homedir(), '.docker', 'run', 'docker.sock'),
    join(homedir(), '.docker', 'desktop', 'docker.sock'),
  ]
  return sockets.filter((path) => existsSync(path)).map((path) => new URL(`unix://${path}`))
}

function answersAt(address: URL, timeoutMs: number): Promise<boolean> {
  const target = { host: address.hostname, port: Number(address.port || 2375) }
  return new Promise<boolean>((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs)
    if (address.protocol !== 'unix:' && process.env.DOCKER_TLS_VERIFY) {
      // Certificates are the library's business: an open port has to do.
      const socket = connect({ ...target, signal }, () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
      return
    }
    const place = address.protocol === 'unix:' ? { socketPath: address.pathname } : target
    const ping = request({ ...place, path: '/_ping', signal }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    ping.once('error', () => resolve(false))
    ping.end()
  })
}
