/** What the figures depend on: the machine, the server's settings, and how quick its disk is. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, tmpdir, totalmem, type } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'

export interface Machine {
  readonly date: string
  readonly system: string
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly node: string
  /** Writes of 8 KiB a second, each followed by fdatasync, one after the other. */
  readonly syncsPerSecond: number
}

export function describeMachine(isQuick = false): Machine {
  return {
    date: new Date().toISOString().slice(0, 10),
    system: `${type()} ${release()} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    syncsPerSecond: Math.round(measureSyncs(isQuick ? 200 : 1000)),
  }
}

/** In the folder for temporary files, which is where the embedded server keeps its data. */
function measureSyncs(forMs: number): number {
  const path = join(tmpdir(), `pg-elect-bench-${process.pid}`)
  const file = openSync(path, 'w')
  const page = Buffer.alloc(8192, 1)
  try {
    // As a log does it: in a file whose pages are there already.
    for (let i = 0; i < 256; i++) writeSync(file, page, 0, page.length, i * page.length)
    fdatasyncSync(file)
    const startMs = performance.now()
    let syncs = 0
    while (performance.now() - startMs < forMs) {
      writeSync(file, page, 0, page.length, (syncs % 256) * page.length)
      fdatasyncSync(file)
      syncs += 1
    }
    return (syncs / (performance.now() - startMs)) * 1000
  } finally {
    closeSync(file)
    rmSync(path)
  }
}

const SETTINGS = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_sync_method',
  'shared_buffers',
  'max_wal_size',
  'max_connections',
]

export async function describeServer(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    'SELECT name, current_setting(name) AS setting FROM unnest($1::text[]) AS name',
    [SETTINGS],
  )
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
}
