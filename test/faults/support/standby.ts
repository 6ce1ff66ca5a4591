/** A streaming standby, made from a running server without pg_basebackup: a backup by hand, as the manual describes it. */
import { appendFile, chmod, chown, cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { giveTree, makeFolderOf } from '../../support/postgres/account.ts'
import { type LaunchPlan, launch, untilReady } from '../../support/postgres/process.ts'
import { watchOver } from '../../support/postgres/watcher.ts'
import { FaultServer, quietPort } from './server.ts'

/** The name by which `synchronous_standby_names` knows every standby made here. */
export const STANDBY_NAME = 'standby'

const TIMEOUT_MS = 30_000
const COPY_ATTEMPTS = 3

/** What a backup leaves out: files of the running server, and WAL, which the standby streams itself. */
const leftOut = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'standby.signal',
  'backup_label.old',
  'current_logfiles',
])
const leftEmpty = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_subtrans',
])

/** A standby of another server; after {@link promote} a server like any other. */
export class Standby extends FaultServer {
  readonly #primary: FaultServer

  constructor(primary: FaultServer, parts: ConstructorParameters<typeof FaultServer>[0]) {
    super(parts)
    this.#primary = primary
  }

  /**
   * Cuts the stream: WAL that is written from now on does not arrive. What has arrived is kept, so this is the moment at which a
   * promotion will find things.
   */
  async cutStream(): Promise<void> {
    await this.configure({ primary_conninfo: '' })
    await this.#untilReceiver('gone', 'NOT EXISTS (SELECT FROM pg_stat_wal_receiver)')
  }

  /** Lets the stream go on where it was cut. */
  async mendStream(): Promise<void> {
    await this.configure({ primary_conninfo: conninfoOf(this.#primary) })
    await this.#untilStreaming()
  }

  /** Resolves once this standby shows all that the primary had written when this was called. */
  async catchUp(): Promise<void> {
    const written = await this.#primary.ask(
      async (client) =>
        (await client.query<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn')).rows[0]?.lsn,
    )
    await this.#untilReceiver('behind', `pg_last_wal_replay_lsn() >= '${written}'::pg_lsn`)
  }

  /** Makes it a primary, on a new timeline. The old one must have been killed, or there will be two. */
  async promote(): Promise<void> {
    await this.ask(async (client) => {
      const { rows } = await client.query<{ promoted: boolean }>('SELECT pg_promote(true, 30) AS promoted')
      if (rows[0]?.promoted !== true) throw new Error('the standby was not promoted')
    })
  }

  #untilStreaming(): Promise<void> {
    return this.#untilReceiver(
      'not streaming',
      `EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')`,
    )
  }

  /** @internal */
  async untilStreams(): Promise<void> {
    await this.#untilStreaming()
  }

  #untilReceiver(otherwise: string, condition: string): Promise<void> {
    return this.ask(async (client) => {
      const deadline = performance.now() + TIMEOUT_MS
      for (;;) {
        const { rows } = await client.query<{ holds: boolean }>(`SELECT ${condition} AS holds`)
        if (rows[0]?.holds === true) return
        if (performance.now() > deadline) throw new Error(`the standby is still ${otherwise}`)
        await delay(5)
      }
    })
  }
}

/** What {@link startStandby} can be told. */
export interface StandbyOptions {
  /** To take the place of a server that was killed. */
  readonly port?: number | undefined
  /** Further environment variables of the server. */
  readonly environment?: Readonly<Record<string, string>> | undefined
}

/** Makes a standby that streams from that server; it ends with the test that called this. */
export async function startStandby(primary: FaultServer, options: StandbyOptions = {}): Promise<Standby> {
  const { account, binariesFolder } = primary.plan
  const environment = { ...primary.plan.environment, ...options.environment }
  const folder = await makeFolderOf(account)
  const watcher = watchOver(folder)
  const cleanUp = async () => {
    await rm(folder, { recursive: true, force: true, maxRetries: 20 })
    watcher.release()
  }
  try {
    await backUp(primary, join(folder, 'data'))
    const plan: LaunchPlan = { folder, binariesFolder, account, environment }
    await configureStandby(primary, plan)
    const ownPort = options.port ?? (await quietPort())
    const url = new URL(primary.connectionString)
    url.port = String(ownPort)
    const process = launch(plan, ownPort)
    const standby = new Standby(primary, {
      plan,
      port: ownPort,
      connectionString: url.href,
      process,
      cleanUp,
    })
    onTestFinished(() => standby.stop())
    await untilReady(process, url.href, TIMEOUT_MS)
    await standby.untilStreams()
    return standby
  } catch (error) {
    await cleanUp()
    throw error
  }
}

async function backUp(primary: FaultServer, target: string): Promise<void> {
  await primary.ask(async (client) => {
    await client.query(`SELECT pg_backup_start('standby', fast => true)`)
    await copyData(primary.dataFolder, target)
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)')
    await writeFile(join(target, 'backup_label'), rows[0]?.labelfile ?? '')
  })
}

async function copyData(source: string, target: string): Promise<void> {
  const isCopied = (path: string): boolean => {
    const [top = '', ...below] = relative(source, path).split('/')
    return !leftOut.has(top) && !(leftEmpty.has(top) && below.length > 0)
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      await cp(source, target, { recursive: true, filter: isCopied })
      break
    } catch (error) {
      // A temporary file may go between the moment it is listed and the moment it is read.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === COPY_ATTEMPTS) throw error
      await rm(target, { recursive: true, force: true })
    }
  }
  await chmod(target, 0o700)
  for (const folder of ['archive_status', 'summaries']) await mkdir(join(target, 'pg_wal', folder))
}

async function configureStandby(primary: FaultServer, { folder, account }: LaunchPlan): Promise<void> {
  const data = join(folder, 'data')
  const lines = [
    `primary_conninfo = '${conninfoOf(primary)}'`,
    `unix_socket_directories = '${folder}'`,
    // As soon as it can: a standby that waits five seconds after each failure makes tests slow, and shows nothing.
    'wal_retrieve_retry_interval = 50ms',
  ]
  await appendFile(join(data, 'postgresql.conf'), `${lines.join('\n')}\n`)
  // It has the settings that the primary was told by ALTER SYSTEM: those of its own go before.
  await writeFile(join(data, 'postgresql.auto.conf'), '')
  await writeFile(join(data, 'standby.signal'), '')
  if (account !== undefined) {
    await chown(folder, account.uid, account.gid)
    await giveTree(data, account)
  }
}

function conninfoOf(primary: FaultServer): string {
  const { hostname, port, username, password } = new URL(primary.connectionString)
  return `host=${hostname} port=${port} user=${username} password=${password} application_name=${STANDBY_NAME}`
}
