import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect } from 'vitest'
import type { Account } from '../../support/postgres/account.ts'
import type { EmbeddedPostgres } from '../../support/postgres/embedded.ts'

export type ServerFacts = Pick<EmbeddedPostgres, 'connectionString' | 'folder' | 'pid' | 'stopCommand'>

export const starterFile = fileURLToPath(new URL('starter.ts', import.meta.url))

/** Starts the program that starts a server, optionally as somebody else. */
export function runStarter(args: string[] = [], account?: Account): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', starterFile, ...args], {
    // Its own process group, for killGroup.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...account,
  })
}

/** Kills a program with whatever is in its process group, as a terminal or a job runner does. */
export async function killGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) throw new Error('the program did not start')
  const exit = once(child, 'exit')
  process.kill(-child.pid, 'SIGKILL')
  await exit
}

/** The first line of a program's output that fits, as its first group. */
export async function lineFrom(child: ChildProcess, pattern: RegExp): Promise<string> {
  if (child.stdout === null) throw new Error('its output is not a pipe')
  for await (const line of createInterface(child.stdout)) {
    const found = pattern.exec(line)?.[1]
    if (found !== undefined) return found
  }
  throw new Error(`the program ended without a line like ${pattern}`)
}

/** What the starter tells once its server answers. */
export async function factsFrom(child: ChildProcess): Promise<ServerFacts> {
  return JSON.parse(await lineFrom(child, /^(\{.*\})$/))
}

/** Whether a query is answered. */
export async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000, query_timeout: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query('SELECT 1')).rowCount === 1
  } catch {
    return false
  } finally {
    await client.end()
  }
}

/** Polls until something holds. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > deadline) expect.fail(`not within ${timeoutMs} ms: ${what}`)
    await delay(20)
  }
}

/** Resolves once neither the server nor its folder is left. */
export async function untilGone({ connectionString, folder }: ServerFacts): Promise<void> {
  const port = Number(new URL(connectionString).port)
  // Not a question of answers: a server whose folder was taken away gives none, yet it is there.
  await until('nobody listens at its port', () => refuses(port))
  await until(`${folder} is gone`, () => !existsSync(folder))
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('error', () => resolve(true))
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
  })
}
