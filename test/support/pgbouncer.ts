/** A real connection pooler in front of a test database: Debian's PgBouncer, on loopback, as an unprivileged account. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import { chown, readFile, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolderOf, serverAccount } from './postgres/account.ts'
import { freePort } from './postgres/port.ts'
import { askWhetherReady } from './postgres/process.ts'

/** What {@link startPgbouncer} can be told. */
export interface PgbouncerOptions {
  /** How many sessions all clients share. */
  readonly poolSize: number
  /** When a session goes back to the others. Default `transaction`. */
  readonly poolMode?: 'transaction' | 'session'
}

/** A running pooler. */
export interface Pgbouncer extends AsyncDisposable {
  /** Of the same database, through the pooler. */
  readonly connectionString: string
  /** Ends it, and with it all sessions that it lends out. Calling it again does nothing. */
  stop(): Promise<void>
}

const folders = ['/usr/sbin', '/usr/local/sbin', ...(process.env.PATH ?? '').split(delimiter)]
const startTimeoutMs = 20_000
const portAttempts = 5

/** Undefined: there is none here. */
export function findPgbouncer(): string | undefined {
  return folders.map((folder) => join(folder, 'pgbouncer')).find((file) => existsSync(file))
}

/** Skips the test where there is no PgBouncer. */
export function needPgbouncer(skip: (note: string) => void): void {
  if (findPgbouncer() !== undefined) return
  // The reporter does not show why a test was skipped.
  console.log('skipped: no pgbouncer')
  skip('skipped: no pgbouncer')
}

// Ends the pooler and removes its folder when the parent says so by closing the pipe, or is gone, for whatever reason.
const script = `
  exec 3<&0
  "$1" -q "$2/pgbouncer.ini" & pid=$!
  { read -r word <&3; kill "$pid"; } 2>/dev/null & reader=$!
  wait "$pid"
  kill "$reader" 2>/dev/null
  rm -rf "$2"
`

/** Starts PgBouncer in front of the database of that connection string. */
export async function startPgbouncer(
  connectionString: string,
  options: PgbouncerOptions,
): Promise<Pgbouncer> {
  const binary = findPgbouncer()
  if (binary === undefined) throw new Error('there is no pgbouncer')
  const account = await serverAccount()
  for (let attempt = 1; ; attempt += 1) {
    const folder = await makeFolderOf(account)
    const port = await freePort()
    const [configFile, logFile] = [join(folder, 'pgbouncer.ini'), join(folder, 'log')]
    // It has the password of the server in it.
    await writeFile(configFile, configOf(connectionString, port, options), { mode: 0o600 })
    if (account !== undefined) await chown(configFile, account.uid, account.gid)
    const log = openSync(logFile, 'w')
    const keeper = spawn('sh', ['-c', script, 'sh', binary, folder], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', log, log],
      ...account,
    })
    closeSync(log)
    let hasEnded = false
    const end = new Promise<void>((resolve) => keeper.once('exit', () => resolve())).then(() => {
      hasEnded = true
    })
    keeper.unref()
    const stop = async () => {
      keeper.ref()
      keeper.stdin?.end()
      await end
      await rm(folder, { recursive: true, force: true })
    }
    const pooled = new URL(connectionString)
    pooled.host = `127.0.0.1:${port}`
    const deadline = performance.now() + startTimeoutMs
    for (;;) {
      const answer = await Promise.race([askWhetherReady(pooled.href), end])
      if (answer === 'ready') {
        return { connectionString: pooled.href, stop, [Symbol.asyncDispose]: stop }
      }
      if (hasEnded || performance.now() > deadline) {
        const said = await readFile(logFile, 'utf8').catch(() => 'nothing')
        await stop()
        if (hasEnded && attempt < portAttempts) break
        throw new Error(`PgBouncer does not answer; it said:\n${said}`, { cause: answer })
      }
      await delay(20)
    }
  }
}

function configOf(connectionString: string, port: number, { poolSize, poolMode }: PgbouncerOptions): string {
  const server = new URL(connectionString)
  const database = server.pathname.slice(1)
  const parts = {
    host: server.hostname,
    port: server.port,
    dbname: database,
    user: decodeURIComponent(server.username),
    password: decodeURIComponent(server.password),
    pool_size: poolSize,
  }
  const target = Object.entries(parts).map(
    ([key, value]) => `${key}='${String(value).replaceAll("'", "''")}'`,
  )
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: poolMode ?? 'transaction',
    max_client_conn: 500,
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}`)
  return `[databases]\n${database} = ${target.join(' ')}\n\n[pgbouncer]\n${lines.join('\n')}\n`
}
