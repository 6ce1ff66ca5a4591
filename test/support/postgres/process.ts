import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Account } from './account.ts'

/** What it takes to start the server on a data folder. */
export interface LaunchPlan {
  readonly folder: string
  readonly binariesFolder: string
  readonly account: Account | undefined
  readonly environment: Readonly<Record<string, string>>
}

/** A started server, answering or not. */
export interface ServerProcess {
  readonly pid: number
  hasEnded(): boolean
  /** Resolves at its end. */
  readonly end: Promise<void>
  /** The end of the server's log. */
  log(): Promise<string>
  stop(): Promise<void>
}

// Fast shutdown first. After SIGQUIT the server itself kills stuck backends when five seconds have passed: waiting
// less would leave them behind.
const stopSteps = [
  ['SIGINT', 5_000],
  ['SIGQUIT', 7_000],
  ['SIGKILL', 5_000],
] as const

/** Starts `postgres`; its output goes to a file, which survives us, unlike a pipe. */
export function launch(
  { folder, binariesFolder, account, environment }: LaunchPlan,
  port: number,
): ServerProcess {
  const logFile = join(folder, 'log')
  const log = openSync(logFile, 'w')
  // A session of its own: Ctrl-C in the terminal must reach the program, not the server under it.
  const child = spawn(join(binariesFolder, 'postgres'), ['-D', join(folder, 'data'), '-p', String(port)], {
    cwd: folder,
    env: environment,
    detached: true,
    stdio: ['ignore', log, log],
    ...account,
  })
  closeSync(log)
  let ended = false
  const end = new Promise<void>((resolve) => {
    child.once('exit', resolve)
    child.once('error', resolve)
  }).then(() => {
    ended = true
  })
  // Forgetting to stop it must not keep the program alive.
  child.unref()
  return {
    pid: child.pid ?? -1,
    hasEnded: () => ended,
    end,
    log: async () => (await readFile(logFile, 'utf8')).slice(-4_000),
    stop: async () => {
      child.ref()
      for (const [signal, waitMs] of stopSteps) {
        if (ended) return
        child.kill(signal)
        const timer = new AbortController()
        await Promise.race([end, delay(waitMs, undefined, { signal: timer.signal }).catch(() => {})])
        timer.abort()
      }
      if (!ended) throw new Error(`PostgreSQL (pid ${child.pid}) survived SIGKILL`)
    },
  }
}

/** Resolves once `SELECT 1` is answered; rejects with the server's log if it ends or takes too long. */
export async function untilReady(
  server: ServerProcess,
  connectionString: string,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let answer: unknown
  while (performance.now() < deadline) {
    // On a taken port somebody else may accept our connection and stay silent: do not wait that out.
    answer = await Promise.race([askWhetherReady(connectionString), server.end])
    if (server.hasEnded()) throw new Error(`PostgreSQL ended while starting:\n${await server.log()}`)
    if (answer === 'ready') return
    await delay(20)
  }
  const reason = `PostgreSQL did not answer within ${timeoutMs} ms:\n${await server.log()}`
  throw new Error(reason, { cause: answer })
}

/** "ready", or the error. */
export async function askWhetherReady(connectionString: string): Promise<unknown> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000, query_timeout: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
    return 'ready'
  } catch (error) {
    return error
  } finally {
    await client.end().catch(() => {})
  }
}
