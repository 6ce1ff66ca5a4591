/** PostgreSQL in single-user mode under valgrind: no network, no other process, the same count each time. */
import { execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { PgElect } from '../../src/index.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../test/support/postgres/embedded.ts'
import type { CountedCall } from './counted-calls.ts'

/** The first runs plan, load and allocate what the later ones find there. */
const FEW = 40
const MANY = 140
/** The first write after a start of the server notes it down; until then each call has to look closer. */
const FIRST_WRITE = "SELECT FROM elect.acquire_lease('first', 'nobody')"

export interface SingleUser {
  readonly version: string
  /** @returns instructions of one run */
  countPerRun(call: CountedCall): Promise<number>
  close(): Promise<void>
}

/** @returns undefined without valgrind */
export async function openSingleUser(calls: readonly CountedCall[]): Promise<SingleUser | undefined> {
  const hasValgrind = await promisify(execFile)('valgrind', ['--version']).then(
    () => true,
    () => false,
  )
  if (!hasValgrind) return undefined
  // Nothing that comes and goes by itself, and nothing that waits for the disk.
  const server = await startEmbeddedPostgres({ settings: { autovacuum: 'off', fsync: 'off' } })
  const databaseOf = (call: CountedCall): string => `calls_${calls.indexOf(call)}`
  try {
    const elect = new PgElect({ connectionString: urlOf(server, 'template1') })
    await elect.install()
    await elect.close()
    for (const call of calls) {
      await run(urlOf(server, 'postgres'), [`CREATE DATABASE ${databaseOf(call)}`])
      await run(urlOf(server, databaseOf(call)), [...(call.setUp ?? []), 'VACUUM ANALYZE'])
    }
    // Its data folder is from now on that of one session at a time.
    await server.process.stop()
  } catch (error) {
    await server.stop()
    throw error
  }
  return {
    version: server.description.split(' ').at(-1) ?? '',
    async countPerRun(call) {
      const few = await count(server, databaseOf(call), call, FEW)
      const many = await count(server, databaseOf(call), call, MANY)
      return (many - few) / (MANY - FEW)
    },
    close: () => server.stop(),
  }
}

async function run(connectionString: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    for (const statement of statements) await client.query(statement)
  } finally {
    await client.end()
  }
}

async function count(
  server: EmbeddedPostgres,
  database: string,
  call: CountedCall,
  runs: number,
): Promise<number> {
  const lines = [FIRST_WRITE, ...call.prepare, ...Array.from({ length: runs }, () => call.run).flat()]
  const output = await answers(server, database, `${lines.join(';\n')};\n`)
  const error = /(?:ERROR|FATAL): .*/.exec(output)
  if (error) throw new Error(`${call.name}: ${error[0]}`)
  const instructions = /I\s+refs:\s+([\d,]+)/.exec(output)?.[1]
  if (instructions === undefined)
    throw new Error(`${call.name}: valgrind told no count: ${output.slice(-500)}`)
  return Number(instructions.replaceAll(',', ''))
}

function answers(server: EmbeddedPostgres, database: string, script: string): Promise<string> {
  const { binariesFolder, environment, account, folder } = server.plan
  const child = spawn(
    'valgrind',
    [
      '--tool=cachegrind',
      '--cache-sim=no',
      '--cachegrind-out-file=/dev/null',
      join(binariesFolder, 'postgres'),
      '--single',
      '-D',
      join(folder, 'data'),
      database,
    ],
    { cwd: folder, env: environment, stdio: ['pipe', 'pipe', 'pipe'], ...account },
  )
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stdout.resume()
  child.stdin.end(script)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve(output))
  })
}

function urlOf(server: EmbeddedPostgres, database: string): string {
  const url = new URL(server.connectionString)
  url.pathname = `/${database}`
  return url.href
}
