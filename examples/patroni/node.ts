import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Account } from '../../test/support/postgres/account.ts'
import { type NodePlan, nodeConfig } from './node-config.ts'
import { childrenOf, type Daemon, haveEnded, signalAll, startDaemon } from './processes.ts'

const REST_TIMEOUT_MS = 1_000
const END_TIMEOUT_MS = 10_000

/** One Patroni and the PostgreSQL under it. */
export class Node {
  readonly name: string
  readonly port: number
  readonly #plan: NodePlan
  readonly #patroni: string
  readonly #account: Account | undefined
  #daemon: Daemon | undefined
  #paused: number[] = []

  private constructor(plan: NodePlan, patroni: string, account: Account | undefined) {
    this.name = plan.name
    this.port = plan.port
    this.#plan = plan
    this.#patroni = patroni
    this.#account = account
  }

  /** Makes its folder and its configuration, and starts nothing yet. */
  static async prepare(plan: NodePlan, patroni: string, account: Account | undefined): Promise<Node> {
    const { folder } = plan
    const config = join(folder, 'patroni.json')
    await mkdir(folder, { mode: 0o700 })
    // It holds passwords.
    await writeFile(config, nodeConfig(plan), { mode: 0o600 })
    if (account !== undefined) {
      await Promise.all([folder, config].map((path) => chown(path, account.uid, account.gid)))
    }
    return new Node(plan, patroni, account)
  }

  start(): void {
    const { folder } = this.#plan
    this.#daemon = startDaemon({
      file: this.#patroni,
      args: [join(folder, 'patroni.json')],
      // Not its own folder: the watcher tells those who manage from those who serve by it.
      folder: join(folder, '..'),
      logFile: join(folder, 'log'),
      account: this.#account,
    })
  }

  /** Whether Patroni has ended though nobody ended it. */
  hasFailed(): boolean {
    return this.#daemon?.hasEnded() ?? false
  }

  /** The end of what Patroni and PostgreSQL have to say. */
  async log(): Promise<string> {
    return (await readFile(join(this.#plan.folder, 'log'), 'utf8').catch(() => '')).slice(-3_000)
  }

  /** The names of the standbys that stream from it; undefined if it does not answer. */
  async streaming(): Promise<string[] | undefined> {
    const answer = await this.#ask('/patroni').catch(() => undefined)
    const status = (await answer?.json().catch(() => undefined)) as RestStatus | undefined
    return status?.replication
      ?.filter(({ state }) => state === 'streaming')
      .map(({ application_name }) => application_name)
  }

  /**
   * The standby that may succeed in synchronous mode, as the whole cluster knows it: PostgreSQL itself calls a standby synchronous a
   * moment earlier, and a primary that is lost in that moment has no successor.
   */
  async synchronousStandby(): Promise<string | undefined> {
    const answer = await this.#ask('/cluster').catch(() => undefined)
    const cluster = (await answer?.json().catch(() => undefined)) as RestCluster | undefined
    return cluster?.members.find(({ role }) => role === 'sync_standby')?.name
  }

  /** Whether it is the primary and also holds Patroni's leader key. */
  async isPrimary(): Promise<boolean> {
    const answer = await this.#ask('/primary').catch(() => undefined)
    await answer?.body?.cancel()
    return answer?.ok === true
  }

  /** @throws Error with what Patroni answered, unless it did as asked. */
  async switchOverTo(candidate: string, signal: AbortSignal): Promise<void> {
    const answer = await fetch(`http://127.0.0.1:${this.#plan.restPort}/switchover`, {
      method: 'POST',
      body: JSON.stringify({ leader: this.name, candidate }),
      signal,
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`Patroni refused to switch over to ${candidate}: ${text}`)
  }

  /** Patroni and every process of PostgreSQL at once: nothing is shut down, nothing is told. */
  async kill(): Promise<void> {
    const pids = await this.#everything()
    signalAll(pids, 'SIGKILL')
    // As long as one of its processes lives, the server cannot be started again.
    if (!(await haveEnded(pids, END_TIMEOUT_MS))) throw new Error(`${this.name} survived SIGKILL`)
    this.#daemon = undefined
    this.#paused = []
  }

  /** As a machine that freezes: none of its processes does anything, and its sockets stay open. */
  async pause(): Promise<void> {
    const pids = await this.#everything()
    this.#paused = pids
    signalAll(pids, 'SIGSTOP')
    // One that was born while we looked.
    const late = (await this.#everything()).filter((pid) => !pids.includes(pid))
    this.#paused.push(...late)
    signalAll(late, 'SIGSTOP')
  }

  /** Everything goes on, and nothing of it knows that time has passed. */
  resume(): void {
    signalAll(this.#paused, 'SIGCONT')
    this.#paused = []
  }

  /** Keeps what is written from reaching the standbys, while the primary works on. It ends with {@link kill}. */
  async holdReplication(pids: readonly number[]): Promise<void> {
    const ours = await this.#everything()
    const held = pids.filter((pid) => ours.includes(pid))
    this.#paused.push(...held)
    signalAll(held, 'SIGSTOP')
  }

  /** Ends all of it, fast, as nobody needs its data any more. */
  async end(): Promise<void> {
    const pids = await this.#everything()
    const postmaster = await this.#postmaster()
    if (this.#daemon !== undefined) signalAll([this.#daemon.pid], 'SIGKILL')
    if (postmaster !== undefined) signalAll([postmaster], 'SIGQUIT')
    this.resume()
    if (await haveEnded(pids, END_TIMEOUT_MS)) return
    signalAll(pids, 'SIGKILL')
    await haveEnded(pids, END_TIMEOUT_MS)
  }

  /** Patroni first, so that it does not see the others go. */
  async #everything(): Promise<number[]> {
    const patroni = this.#daemon?.hasEnded() === false ? [this.#daemon.pid] : []
    const postmaster = await this.#postmaster()
    const helpers = (await Promise.all(patroni.map(childrenOf))).flat()
    const backends = postmaster === undefined ? [] : [postmaster, ...(await childrenOf(postmaster))]
    return [...new Set([...patroni, ...helpers, ...backends])]
  }

  /** The first line of a file that the server removes at its end; after a crash it may name a process of somebody else's. */
  async #postmaster(): Promise<number | undefined> {
    const file = join(this.#plan.folder, 'data', 'postmaster.pid')
    const [pid, dataFolder] = (await readFile(file, 'utf8').catch(() => '')).split('\n')
    if (pid === undefined || dataFolder !== join(this.#plan.folder, 'data')) return undefined
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return command.includes(this.#plan.folder) ? Number(pid) : undefined
  }

  #ask(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#plan.restPort}${path}`, {
      signal: AbortSignal.timeout(REST_TIMEOUT_MS),
    })
  }
}

/** Some of what Patroni answers. */
interface RestStatus {
  readonly replication?: readonly { readonly application_name: string; readonly state: string }[]
}

interface RestCluster {
  readonly members: readonly { readonly name: string; readonly role: string }[]
}
