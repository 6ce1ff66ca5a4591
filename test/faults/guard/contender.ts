import { early } from './checker.ts'
import type { Isolation, Step } from './schedule.ts'
import { codeOf, type Session } from './session.ts'
import { acquireLease, takeOverByHand, type Variant } from './variants.ts'

/** What a step may end with besides success; the loss of a connection is told apart. */
const documented: Readonly<Record<string, readonly string[]>> = {
  release: ['55P03'],
  transfer: ['55P03'],
  force: ['55P03'],
  guard: ['LE001', '55P03'],
  write: ['LE001', '55P03'],
}
const lost = ['57P01', 'closed']

/** What everybody in a schedule shares. */
export interface Stage {
  readonly variant: Variant
  readonly lease: string
  readonly table: string
  /** Counts how steps ended, such as "guard LE001". */
  readonly outcome: (step: string) => void
  /** Is told what must never be. */
  readonly complain: (what: string) => void
}

type StepOf<Act> = Extract<Step, { act: Act }>

/** One who wants the lease: a session for the lease, and one for the transactions in which it writes. */
export class Contender {
  readonly name: string
  readonly stage: Stage
  readonly leases: Session
  readonly work: Session
  token: number | undefined
  #isolation: Isolation = 'READ COMMITTED'

  constructor(name: string, stage: Stage, sessions: { readonly leases: Session; readonly work: Session }) {
    this.name = name
    this.stage = stage
    this.leases = sessions.leases
    this.work = sessions.work
  }

  async acquire({ ttlMs, seize, open }: StepOf<'acquire'>): Promise<void> {
    await this.settle()
    const { lease, variant } = this.stage
    const [text, values] = variant.takesOverByHand
      ? [takeOverByHand, [lease, this.name, ttlMs, seize]]
      : [acquireLease, [lease, this.name, ttlMs]]
    await this.#attempt(open ? 'acquire open' : 'acquire', async () => {
      if (open) {
        await this.leases.query('BEGIN')
        this.leases.openGrant = { token: undefined }
      }
      const { rows } = await this.leases.query<{ token: number; granted: boolean }>(text, values)
      const token = rows[0]?.granted === true ? rows[0].token : undefined
      if (token === undefined) this.stage.outcome('acquire refused')
      else if (this.leases.openGrant !== undefined) this.leases.openGrant.token = token
      else this.token = token
    })
  }

  /** Commits a grant that was left open: only now is it one. */
  async settle(): Promise<void> {
    const { openGrant } = this.leases
    if (openGrant === undefined) return
    this.leases.openGrant = undefined
    await this.#attempt('settle', async () => {
      await this.leases.query('COMMIT')
      this.token = openGrant.token ?? this.token
    })
  }

  renew(): Promise<void> {
    return this.#withToken('renew', 'SELECT elect.renew_lease($1, $2)')
  }

  release(): Promise<void> {
    return this.#withToken('release', 'SELECT elect.release_lease($1, $2)')
  }

  async transfer(successor: Contender): Promise<void> {
    await this.settle()
    if (this.token === undefined) return
    await this.#attempt('transfer', async () => {
      const text = 'SELECT token::float8, granted FROM elect.transfer_lease($1, $2, $3)'
      const values = [this.stage.lease, this.token, `${successor.name}${early.heir}`]
      const { rows } = await this.leases.query<{ token: number; granted: boolean }>(text, values)
      if (rows[0]?.granted === true) successor.token = rows[0].token
    })
  }

  async force(terminate: boolean): Promise<void> {
    await this.settle()
    await this.#attempt('force', async () => {
      await this.leases.query("SELECT elect.force_release($1, 'a schedule', $2)", [
        this.stage.lease,
        terminate,
      ])
    })
  }

  async begin(isolation: Isolation, guarded: boolean): Promise<void> {
    if (this.work.transaction !== undefined) return
    this.#isolation = isolation
    await this.#attempt('begin', async () => {
      await this.work.query(`BEGIN ISOLATION LEVEL ${isolation}`)
      this.work.transaction = { failed: false, savepoint: false, proved: undefined, provedBefore: undefined }
    })
    if (guarded) await this.guard()
    // The snapshot of the whole transaction, taken before the check.
    else
      await this.#inTransaction(
        'look',
        async () => void (await this.work.query(`SELECT FROM ${this.stage.table} LIMIT 1`)),
      )
  }

  async guard(): Promise<void> {
    const { lease, variant } = this.stage
    await this.#inTransaction('guard', async (transaction) => {
      if (this.token === undefined) return
      const { rows } = await this.work.query<{ leads: boolean }>(variant.check, [lease, this.token])
      transaction.proved = rows[0]?.leads === true ? this.token : undefined
    })
  }

  async write(isBare: boolean): Promise<void> {
    const { lease, table, variant } = this.stage
    const tries = isBare && variant.isProtected
    if (this.work.transaction?.proved === undefined && !tries) await this.guard()
    await this.#inTransaction('write', async (transaction) => {
      const token = transaction.proved ?? (tries ? this.token : undefined)
      if (token === undefined) return
      await this.work.query(`INSERT INTO ${table} (lease, token) VALUES ($1, $2)`, [lease, token])
    })
  }

  savepoint(): Promise<void> {
    return this.#inTransaction('savepoint', async (transaction) => {
      await this.work.query('SAVEPOINT here')
      transaction.savepoint = true
      transaction.provedBefore = transaction.proved
    })
  }

  async rollbackTo(): Promise<void> {
    const { transaction } = this.work
    if (transaction?.savepoint !== true) return
    await this.#attempt('rollback to', async () => {
      await this.work.query('ROLLBACK TO SAVEPOINT here')
      transaction.failed = false
      transaction.proved = transaction.provedBefore
    })
  }

  async end(how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    if (this.work.transaction === undefined) return
    this.work.transaction = undefined
    await this.#attempt(how.toLowerCase(), async () => void (await this.work.query(how)))
  }

  async #withToken(step: string, text: string): Promise<void> {
    await this.settle()
    if (this.token === undefined) return
    await this.#attempt(
      step,
      async () => void (await this.leases.query(text, [this.stage.lease, this.token])),
    )
  }

  async #inTransaction(
    step: string,
    work: (transaction: NonNullable<Session['transaction']>) => Promise<void>,
  ): Promise<void> {
    const { transaction } = this.work
    if (transaction === undefined || transaction.failed) return
    const code = await this.#attempt(step, () => work(transaction))
    if (code !== undefined) transaction.failed = true
  }

  /** Counts how the step ends, and complains of what no documentation mentions. */
  async #attempt(step: string, work: () => Promise<void>): Promise<string | undefined> {
    try {
      await work()
      this.stage.outcome(step)
      return undefined
    } catch (error) {
      const code = codeOf(error)
      this.stage.outcome(`${step} ${code}`)
      const mayConflict = this.#isolation !== 'READ COMMITTED' && ['guard', 'write', 'commit'].includes(step)
      const allowed = [...lost, ...(documented[step] ?? []), ...(mayConflict ? ['40001'] : [])]
      if (!allowed.includes(code)) this.stage.complain(`${step} ended with ${code}: ${String(error)}`)
      return code
    }
  }
}
