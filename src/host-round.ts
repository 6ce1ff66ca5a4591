/**
 * Finds a server that will do among several hosts: one after the other, in a round that begins with the last one that did. A server that
 * is reached but is of the wrong kind, such as a demoted primary that is read-only now, is passed over.
 */
import type { ClientConfig } from 'pg'
import type { ServerState } from './connection-queries.ts'
import { ClosedError, ConnectionError, fromDriver, isTransient, type PgElectError } from './errors.ts'
import type { Host, Hosts, TargetSession } from './hosts.ts'

/** A session that was opened, and what it is on. */
export interface Opened<Session> {
  readonly session: Session
  readonly server: ServerState
}

export class HostRound {
  readonly #hosts: Hosts
  #place = 0

  constructor(hosts: Hosts) {
    this.#hosts = hosts
  }

  /** Whether there are others to turn to. */
  get hasOthers(): boolean {
    return this.#hosts.hosts.length > 1
  }

  /** Whether sessions have to be on a server that can be written to. */
  get mustWrite(): boolean {
    return this.#hosts.target === 'read-write'
  }

  /** The last one that did is of no use now: the next round begins behind it. */
  turnAway(): void {
    this.#place = (this.#place + 1) % this.#hosts.hosts.length
  }

  /**
   * Opens a session on the first server that will do.
   *
   * @param discard - ends one on a server that will not
   * @throws ConnectionError if none does now; any other error if asking again cannot help.
   */
  async open<Session>(
    open: (config: ClientConfig) => Promise<Opened<Session>>,
    discard: (session: Session) => void,
  ): Promise<Session> {
    const { hosts, target } = this.#hosts
    const start = this.#place
    const failures: Failure[] = []
    for (const wanted of target === 'prefer-standby' ? (['standby', 'any'] as const) : [target]) {
      for (let step = 0; step < hosts.length; step++) {
        const place = (start + step) % hosts.length
        const host = hosts[place] as Host
        try {
          const { session, server } = await open(host.config)
          const fault = faultOf(server, wanted)
          if (fault === undefined) {
            this.#place = place
            return session
          }
          discard(session)
          failures.push({ host, error: new ConnectionError(`The server ${fault}`) })
        } catch (error) {
          if (error instanceof ClosedError) throw error
          failures.push({ host, error: fromDriver(error) })
        }
      }
    }
    throw summaryOf(failures)
  }
}

interface Failure {
  readonly host: Host
  readonly error: PgElectError
}

/** Why a server will not do; undefined: it will. */
function faultOf({ isInRecovery, isReadOnly }: ServerState, wanted: TargetSession): string | undefined {
  switch (wanted) {
    case 'read-write':
      if (isInRecovery) return 'is a standby, and one to write to is wanted'
      return isReadOnly ? 'is read-only, and one to write to is wanted' : undefined
    case 'primary':
      return isInRecovery ? 'is a standby, and a primary is wanted' : undefined
    case 'standby':
      return isInRecovery ? undefined : 'is no standby'
    case 'read-only':
      return isInRecovery || isReadOnly ? undefined : 'is not read-only'
    default:
      return undefined
  }
}

/**
 * Unlike libpq, a server that does not let us in keeps nobody from the others. As long as one may do later, trying again can help.
 */
function summaryOf(failures: readonly Failure[]): PgElectError {
  const [first] = failures as [Failure]
  const transient = failures.find(({ error }) => isTransient(error))
  if (failures.length === 1 || transient === undefined) return first.error
  const all = failures.map(({ host, error }) => `${host.label}: ${error.message}`)
  return new ConnectionError(`No host will do. ${all.join('; ')}`)
}
