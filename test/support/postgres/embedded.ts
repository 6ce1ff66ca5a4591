import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chown, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeFolderOf, serverAccount } from './account.ts'
import { binariesFor, embeddedBinariesFolder, versionOf } from './binaries.ts'
import { freePort } from './port.ts'
import { type LaunchPlan, launch, type ServerProcess, untilReady } from './process.ts'
import type { PostgresServer, ServerSettings } from './server.ts'
import { watchOver } from './watcher.ts'

/** What {@link startEmbeddedPostgres} can be told. */
export interface EmbeddedOptions {
  /** Where `initdb` and `postgres` are; by default those of the npm package. */
  readonly binariesFolder?: string
  /** Written to postgresql.conf, so that ALTER SYSTEM can still change them. */
  readonly settings?: ServerSettings
  /** Lets the server and its folder outlive this process; `stop()` still ends both. */
  readonly keep?: boolean
  /** Is told, line by line, what happens. */
  readonly progress?: (line: string) => void
  /** Chooses a port; asked again, a few times, if somebody takes that port meanwhile. */
  readonly pickPort?: () => Promise<number>
  /** Further environment variables of the server. */
  readonly environment?: Readonly<Record<string, string>>
}

/** A server of our own on 127.0.0.1, with its data in a temporary folder. */
export interface EmbeddedPostgres extends PostgresServer {
  readonly folder: string
  readonly pid: number
  readonly port: number
  /** The server as it was started first. Whoever ends it starts it again, on the same folder, by the plan. */
  readonly process: ServerProcess
  readonly plan: LaunchPlan
  /** A shell line that ends a kept server and removes its folder. */
  readonly stopCommand: string
}

const startTimeoutMs = 30_000
const portAttempts = 5

/** Starts PostgreSQL from binaries, with nothing installed. For POSIX systems. */
export async function startEmbeddedPostgres(options: EmbeddedOptions = {}): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') throw new Error('On Windows, set DATABASE_URL or start Docker')
  const { progress = () => {}, pickPort = freePort } = options
  const source = options.binariesFolder ?? embeddedBinariesFolder()
  const account = await serverAccount()
  const folder = await makeFolderOf(account)
  const watcher = watchOver(folder)
  let server: ServerProcess | undefined
  let stopping: Promise<void> | undefined

  const stop = async () => {
    await server?.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 20 })
    watcher.release()
  }

  try {
    const binariesFolder = await binariesFor(account, source, folder)
    if (binariesFolder !== source) progress(`copied the binaries to ${binariesFolder}`)
    // Nothing of our environment but this: PGPORT or an odd LANG would change the server.
    const environment = { PATH: process.env.PATH ?? '', LC_ALL: 'C', ...options.environment }
    const plan: LaunchPlan = { folder, binariesFolder, account, environment }
    const version = await versionOf(source)
    const password = randomBytes(18).toString('base64url')
    progress(`initialising PostgreSQL ${version} in ${folder}`)
    await initialise(plan, password, options.settings ?? {})

    let connectionString = ''
    let port = 0
    for (let attempt = 1; ; attempt += 1) {
      port = await pickPort()
      connectionString = `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`
      progress(`starting it on port ${port}`)
      server = launch(plan, port)
      try {
        await untilReady(server, connectionString, startTimeoutMs)
        break
      } catch (error) {
        const portTaken = server.hasEnded() && /could not bind .* address/.test(await server.log())
        if (!portTaken || attempt === portAttempts) throw error
        progress(`port ${port} is taken`)
      }
    }

    if (options.keep) watcher.release()
    const { pid } = server
    return {
      description: `embedded PostgreSQL ${version}`,
      connectionString,
      folder,
      pid,
      port,
      process: server,
      plan,
      stopCommand: stopCommandOf(pid, folder),
      stop: () => {
        stopping ??= stop()
        return stopping
      },
    }
  } catch (error) {
    await stop().catch(() => {})
    throw error
  }
}

function stopCommandOf(pid: number, folder: string): string {
  // Ends also for a server that died without removing its lock file, and for one that nobody reaps.
  const runs = `[ -e ${folder}/data/postmaster.pid ] && kill -0 ${pid} 2>/dev/null`
  return `kill -INT ${pid}; while ${runs}; do sleep 0.1; done; rm -rf ${folder}`
}

async function initialise(plan: LaunchPlan, password: string, settings: ServerSettings): Promise<void> {
  const { folder, binariesFolder, account, environment } = plan
  const [dataFolder, passwordFile] = [join(folder, 'data'), join(folder, 'password')]
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 })
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid)
  try {
    await promisify(execFile)(
      join(binariesFolder, 'initdb'),
      [
        `--pgdata=${dataFolder}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        // Only about the empty cluster: what is written later is as durable as the settings say.
        '--no-sync',
      ],
      { cwd: folder, env: environment, timeout: 60_000, ...account },
    )
  } finally {
    await rm(passwordFile, { force: true })
  }
  const all = { listen_addresses: '127.0.0.1', unix_socket_directories: folder, ...settings }
  const lines = Object.entries(all).map(
    ([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`,
  )
  await appendFile(join(dataFolder, 'postgresql.conf'), lines.join(''))
}
