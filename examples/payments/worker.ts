/**
 * One of the three processes, and what an application would write too: it stands for election, and while it leads it charges the
 * invoices that are due.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type Leadership, LeaseLostError, PgElect } from '../../src/index.ts'
import type { Charge, Order } from './provider.ts'
import type { Report, WorkerPlan } from './reports.ts'

const AT_ONCE = 4
const IDLE_MS = 30
const PROVIDER_TIMEOUT_MS = 5_000

const plan = JSON.parse(process.env.PAYMENTS_PLAN ?? '{}') as WorkerPlan
const { connectionString, ttlMs, worker } = plan

const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())
process.once('disconnect', () => {
  // The parent is gone, and with it the way to the database: an orderly end may never come.
  setTimeout(() => process.exit(1), 2 * ttlMs).unref()
  stopping.abort()
})
if (!process.connected) stopping.abort()

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const elect = new PgElect({ connectionString, holder: worker, ttlMs, logger: silent })
const pool = new pg.Pool({
  connectionString,
  max: AT_ONCE + 1,
  connectionTimeoutMillis: ttlMs,
  options: `-c search_path=${plan.schema}`,
})
pool.on('error', () => {})
// A pool does not listen to a connection that it has lent out: one that ends in the middle of a transaction would end the process.
pool.on('connect', (client) => client.on('error', () => {}))

tell({ kind: 'ready' })
try {
  const election = elect.election(plan.election, { metadata: { worker } })
  await election.lead(
    async (leadership) => {
      tell({ kind: 'leads', token: leadership.token })
      while (!leadership.signal.aborted) {
        const invoices = await dueInvoices().catch(report)
        await Promise.all((invoices ?? []).map((invoice) => settle(leadership, invoice).catch(report)))
        if (!invoices?.length) await delay(IDLE_MS)
      }
    },
    { signal: stopping.signal },
  )
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error)
    process.exitCode = 1
  }
} finally {
  await elect.close()
  if (process.connected) process.disconnect()
  // Not pool.end(), which would wait for a connection that hangs.
  process.exit()
}

async function dueInvoices(): Promise<Order[]> {
  const { rows } = await pool.query<Order>(
    `SELECT number AS invoice, cents FROM invoices WHERE paid_at IS NULL AND due_at <= clock_timestamp()
     ORDER BY number LIMIT ${AT_ONCE}`,
  )
  return rows
}

/** Charges an invoice and marks it paid. At any point of this the process may die, sleep, or lead no more without knowing it. */
async function settle(leadership: Leadership, order: Order): Promise<void> {
  if (!plan.isGuarded) return settleUnguarded(leadership, order)
  try {
    await settleGuarded(leadership, order)
  } catch (error) {
    if (error instanceof LeaseLostError) await insist(leadership, order).catch(report)
    throw error
  }
}

async function settleGuarded(leadership: Leadership, order: Order): Promise<void> {
  // Recorded before the call: whoever leads next and finds no answer repeats it, with the same key.
  const { charge } = await leadership.once(`invoice-${order.invoice}`, ({ idempotencyKey }) =>
    askProvider(order, idempotencyKey),
  )
  // Commits only while this process leads. Should it hang in here, the next leader waits no longer than that.
  await leadership.transaction(pool, (client) => markPaid(client, leadership, order, charge), {
    timeoutMs: ttlMs,
  })
}

/** For the example only: goes on although the client knows better, with nothing but SQL and the old token. The database must refuse. */
async function insist({ token }: Leadership, { invoice }: Order): Promise<void> {
  // Sent as one, and so one transaction.
  await pool.query(
    `SELECT elect.assert_lease('${plan.election}', ${token});
     UPDATE invoices SET token = ${token}, place = nextval('places') WHERE number = ${invoice}`,
  )
}

/** As one writes it who relies on leading. */
async function settleUnguarded(leadership: Leadership, order: Order): Promise<void> {
  const { charge } = await askProvider(order, randomUUID())
  await markPaid(pool, leadership, order, charge)
}

/** Not given the signal of the leadership: an order that is on its way cannot be called back, and its answer is worth having. */
async function askProvider(order: Order, idempotencyKey: string): Promise<Charge> {
  const response = await fetch(plan.providerUrl, {
    method: 'POST',
    headers: { 'idempotency-key': idempotencyKey },
    body: JSON.stringify(order),
    signal: AbortSignal.timeout(PROVIDER_TIMEOUT_MS),
  })
  if (!response.ok) throw new Error(`the provider answered ${response.status}`)
  return (await response.json()) as Charge
}

/** To enter the same charge again changes nothing: the answer to a COMMIT can be lost, too. */
async function markPaid(
  db: { query(text: string, values: unknown[]): Promise<unknown> },
  { token }: Leadership,
  { invoice }: Order,
  charge: string,
): Promise<void> {
  await db.query(
    `UPDATE invoices
     SET paid_at = clock_timestamp(), times_paid = times_paid + 1, charge = $2, token = $3, place = nextval('places')
     WHERE number = $1 AND charge IS DISTINCT FROM $2`,
    [invoice, charge, token],
  )
}

/** Nothing is lost by going on: what is not marked paid comes up again, here or at the next leader. */
function report(error: unknown): undefined {
  if (hasCode(error, 'LE001')) {
    tell({ kind: 'refused', by: 'database' })
  } else if (error instanceof LeaseLostError) {
    tell({ kind: 'refused', by: hasCode(error.cause, 'LE001') ? 'database' : 'client' })
  } else {
    tell({
      kind: 'setback',
      message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    })
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function tell(message: Report): void {
  // The callback takes the error of a parent that has just gone.
  process.send?.(message, undefined, undefined, () => {})
}
