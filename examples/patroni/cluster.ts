/** etcd and three Patroni nodes on this machine, in a temporary folder. */
import { randomBytes } from 'node:crypto'
import { chown, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolderOf, serverAccount } from '../../test/support/postgres/account.ts'
import { Node } from './node.ts'
import { freePorts } from './ports.ts'
import { type Daemon, haveEnded, signalAll, startDaemon } from './processes.ts'
import { timelineOf } from './primary-session.ts'
import type { EtcdApi, Programs } from './programs.ts'
import { watchOver } from './watcher.ts'

const NODES = 3
const START_TIMEOUT_MS = 90_000
const HEAL_TIMEOUT_MS = 90_000
const LOOK_MS = 100

export interface ClusterPlan {
  readonly programs: Programs
  readonly isSynchronous: boolean
  readonly progress: (line: string) => void
  /** Whoever waits for the cluster stops waiting. */
  readonly signal: AbortSignal
}

/** A node that can be written to. */
export interface Primary {
  readonly node: Node
  readonly timeline: number
}

export class Cluster implements AsyncDisposable {
  readonly nodes: readonly Node[]
  /** Names all nodes; whoever connects is to find the one that can be written to. */
  readonly connectionString: string
  readonly #etcd: Daemon
  readonly #folder: string
  readonly #release: () => void
  readonly #plan: ClusterPlan
  readonly #password: string

  private constructor(
    plan: ClusterPlan,
    parts: { nodes: readonly Node[]; password: string; etcd: Daemon; folder: string; release: () => void },
  ) {
    this.#plan = plan
    this.nodes = parts.nodes
    this.#etcd = parts.etcd
    this.#folder = parts.folder
    this.#release = parts.release
    const hosts = parts.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
    this.#password = parts.password
    this.connectionString = `postgres://postgres:${parts.password}@${hosts}/postgres?target_session_attrs=read-write`
  }

  /** Resolves once there are a primary and two standbys that stream. */
  static async start(plan: ClusterPlan): Promise<Cluster> {
    const { programs, isSynchronous, progress } = plan
    const account = await serverAccount()
    const folder = await makeFolderOf(account)
    const watcher = watchOver(folder)
    let cluster: Cluster | undefined
    try {
      const [etcdPort = 0, peerPort = 0, ...ports] = await freePorts(2 + 2 * NODES)
      const etcdFolder = join(folder, 'etcd')
      await mkdir(etcdFolder, { mode: 0o700 })
      if (account !== undefined) await chown(etcdFolder, account.uid, account.gid)
      const password = randomBytes(18).toString('base64url')
      const nodes: Node[] = []
      for (let place = 0; place < NODES; place += 1) {
        const name = `node-${place + 1}`
        const node = {
          name,
          folder: join(folder, name),
          port: ports[2 * place] ?? 0,
          restPort: ports[2 * place + 1] ?? 0,
          etcdPort,
          etcdApi: programs.etcdApi,
          postgresFolder: programs.postgresFolder,
          password,
          isSynchronous,
        }
        nodes.push(await Node.prepare(node, programs.patroni, account))
      }
      progress(`starting etcd and three Patroni nodes in ${folder}`)
      const etcd = startDaemon({
        file: programs.etcd,
        args: etcdArguments(programs.etcdApi, etcdFolder, etcdPort, peerPort),
        folder,
        logFile: join(etcdFolder, 'log'),
        account,
      })
      cluster = new Cluster(plan, { nodes, password, etcd, folder, release: () => watcher.release() })
      for (const node of nodes) node.start()
      await cluster.#untilUp(progress)
      return cluster
    } catch (error) {
      if (cluster !== undefined) await cluster.#stop()
      else {
        await rm(folder, { recursive: true, force: true })
        watcher.release()
      }
      throw error
    }
  }

  get isSynchronous(): boolean {
    return this.#plan.isSynchronous
  }

  /** How to reach that node and no other. */
  serverOf(node: Node): string {
    return `postgres://postgres:${this.#password}@127.0.0.1:${node.port}/postgres`
  }

  /** The node that is the primary now and knows it; undefined while there is none. */
  async primary(): Promise<Node | undefined> {
    const are = await Promise.all(this.nodes.map((node) => node.isPrimary()))
    return this.nodes.find((_node, place) => are[place])
  }

  /** Resolves once another node than that one is the primary and can be written to. */
  async newPrimary(old: Node): Promise<Primary> {
    return this.#until(`another primary than ${old.name}`, HEAL_TIMEOUT_MS, async () => {
      const others = this.nodes.filter((node) => node !== old)
      const are = await Promise.all(others.map((node) => node.isPrimary()))
      const node = others.find((_node, place) => are[place])
      // Patroni calls a node the primary when it begins to promote it, and learns its timeline later.
      const timeline = node && (await timelineOf(this.serverOf(node)))
      return node && timeline !== undefined ? { node, timeline } : undefined
    })
  }

  /** Resolves with the primary once all others stream from it and, where that is asked for, one of them synchronously. */
  async healed(timeoutMs = HEAL_TIMEOUT_MS): Promise<Primary> {
    return this.#until('a primary and two streaming standbys', timeoutMs, async () => {
      const primary = await this.primary()
      const streaming = await primary?.streaming()
      if (primary === undefined || streaming === undefined) return undefined
      const isWhole = this.nodes.every((node) => node === primary || streaming.includes(node.name))
      const isSafe = !this.isSynchronous || (await primary.synchronousStandby()) !== undefined
      if (!isWhole || !isSafe) return undefined
      const timeline = await timelineOf(this.serverOf(primary))
      return timeline === undefined ? undefined : { node: primary, timeline }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#plan.progress('stopping the cluster and removing its folder')
    await this.#stop()
  }

  async #untilUp(progress: (line: string) => void): Promise<void> {
    const primary = await this.#until('a primary', START_TIMEOUT_MS, () => this.primary())
    progress(`${primary.name} is the primary; the others copy it`)
    await this.healed(START_TIMEOUT_MS)
  }

  async #until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined>): Promise<T> {
    const untilMs = performance.now() + timeoutMs
    for (;;) {
      this.#plan.signal.throwIfAborted()
      const found = await look()
      if (found !== undefined) return found
      await this.#requireRunning()
      if (performance.now() > untilMs) {
        const logs = await Promise.all(this.nodes.map(async (node) => `${node.name}: ${await node.log()}`))
        throw new Error(`there was not ${what} within ${timeoutMs / 1_000} s\n${logs.join('\n')}`)
      }
      await delay(LOOK_MS, undefined, { signal: this.#plan.signal })
    }
  }

  /** Fails at once, and with the log, if something ended that should run. */
  async #requireRunning(): Promise<void> {
    if (this.#etcd.hasEnded()) {
      const log = await readFile(join(this.#folder, 'etcd', 'log'), 'utf8').catch(() => '')
      throw new Error(`etcd has ended:\n${log.slice(-3_000)}`)
    }
    const failed = this.nodes.find((node) => node.hasFailed())
    if (failed !== undefined) throw new Error(`Patroni of ${failed.name} has ended:\n${await failed.log()}`)
  }

  async #stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end()))
    signalAll([this.#etcd.pid], 'SIGKILL')
    await haveEnded([this.#etcd.pid], 5_000)
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 20 })
    this.#release()
  }
}

function etcdArguments(api: EtcdApi, folder: string, port: number, peerPort: number): string[] {
  const client = `http://127.0.0.1:${port}`
  const peer = `http://127.0.0.1:${peerPort}`
  return [
    '--name=etcd',
    `--data-dir=${join(folder, 'data')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=etcd=${peer}`,
    '--log-level=warn',
    ...(api === 'etcd' ? ['--enable-v2=true'] : []),
  ]
}
