/** The programs that make up the cluster: where they are, what is missing, and how to get it. */
import { execFile, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/**
 * Up to 3.0.2, Patroni on etcd's v3 API overwrites the leader key without comparing it: a primary that was paused for longer than its ttl
 * can take the key back from its successor, and both are primaries for a while (https://github.com/patroni/patroni/pull/2689). On the
 * v2 API, which etcd has up to 3.5, it compares.
 */
export type EtcdApi = 'etcd' | 'etcd3'
const COMPARES_ON_V3 = [3, 0, 3]

/** Where everything is. */
export interface Programs {
  readonly patroni: string
  readonly etcd: string
  /** The section of Patroni's configuration, and so the API of etcd that it speaks. */
  readonly etcdApi: EtcdApi
  /** The folder with `postgres`, `initdb`, `pg_ctl`, `pg_basebackup` and `pg_rewind`. */
  readonly postgresFolder: string
}

const PACKAGES = {
  patroni: ['patroni', 'python3-etcd'],
  etcd: ['etcd-server'],
  // The newest that Debian 12 has; an installed newer one is taken as well.
  postgres: ['postgresql-15'],
} as const

type ProgramName = keyof typeof PACKAGES

/** Something is not installed. */
export class ProgramsMissingError extends Error {
  override readonly name = 'ProgramsMissingError'
  readonly exitCode = 3
}

/**
 * @returns the programs, wherever they are.
 * @throws ProgramsMissingError naming what is missing and the packages that bring it.
 */
export async function findPrograms(): Promise<Programs> {
  if (process.platform !== 'linux') {
    throw new ProgramsMissingError('This example runs on Linux only: see compose.yaml beside it for Docker')
  }
  const [patroni, etcd, postgresFolder] = await Promise.all([
    onPath('patroni'),
    onPath('etcd'),
    newestPostgres(),
  ])
  if (patroni !== undefined && etcd !== undefined && postgresFolder !== undefined) {
    const etcdApi = atLeast(await versionOf(patroni), COMPARES_ON_V3) ? 'etcd3' : 'etcd'
    return { patroni, etcd, etcdApi, postgresFolder }
  }
  const found = { patroni, etcd, postgres: postgresFolder }
  const missing = (Object.keys(PACKAGES) as ProgramName[]).filter((name) => found[name] === undefined)
  throw new ProgramsMissingError(
    `Not installed: ${missing.join(', ')}. On Debian or Ubuntu, as root: apt-get install ${packagesOf(missing).join(' ')}\n` +
      'or let the example do it: npm run example:patroni -- --install',
  )
}

/** Installs by apt-get whatever is missing, and starts none of it as a service. */
export async function installPrograms(progress: (line: string) => void): Promise<void> {
  const missing = await findPrograms().then(
    () => false,
    (error: unknown) => {
      if (error instanceof ProgramsMissingError && process.platform === 'linux') return true
      throw error
    },
  )
  if (!missing) return
  if (process.getuid?.() !== 0) throw new ProgramsMissingError('--install needs root')
  const packages = packagesOf(Object.keys(PACKAGES) as ProgramName[])
  progress(`installing ${packages.join(' ')}`)
  const allow = await forbidServices()
  try {
    await aptGet('update', '-qq')
    await aptGet('install', '-y', '-qq', '--no-install-recommends', ...packages)
  } finally {
    await allow()
  }
}

function packagesOf(names: readonly ProgramName[]): string[] {
  return names.flatMap((name) => PACKAGES[name])
}

/** Debian starts the services of a package when it is installed, unless this file says no. */
async function forbidServices(): Promise<() => Promise<void>> {
  const policy = '/usr/sbin/policy-rc.d'
  try {
    await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' })
  } catch {
    // There is a policy already.
    return async () => {}
  }
  return () => rm(policy, { force: true })
}

async function aptGet(...args: string[]): Promise<void> {
  let output = ''
  const child = spawn('apt-get', args, {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const code = await new Promise<unknown>((resolve) => {
    child.once('close', resolve)
    child.once('error', resolve)
  })
  if (code !== 0) {
    throw new ProgramsMissingError(`apt-get ${args[0]} failed (${code}):\n${output.trim().slice(-2_000)}`)
  }
}

/** Such as [3, 0, 2] for "patroni 3.0.2". */
async function versionOf(program: string): Promise<number[]> {
  const { stdout } = await promisify(execFile)(program, ['--version'])
  return (/\d+(\.\d+)*/.exec(stdout)?.[0] ?? '').split('.').map(Number)
}

function atLeast(version: readonly number[], wanted: readonly number[]): boolean {
  for (const [place, number] of wanted.entries()) {
    const difference = (version[place] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return true
}

async function onPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    const file = join(folder, name)
    if (await isExecutable(file)) return file
  }
  return undefined
}

/** Debian keeps the servers of all versions off the PATH. */
async function newestPostgres(): Promise<string | undefined> {
  const root = '/usr/lib/postgresql'
  const versions = (await readdir(root).catch(() => []))
    .map(Number)
    .filter((version) => version >= 13)
    .sort((one, other) => other - one)
  for (const version of versions) {
    const folder = join(root, String(version), 'bin')
    if (await isExecutable(join(folder, 'postgres'))) return folder
  }
  const elsewhere = await onPath('postgres')
  return elsewhere && join(elsewhere, '..')
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}
