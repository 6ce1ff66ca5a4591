import { setTimeout as delay } from 'node:timers/promises'
import { FaultProxy } from '../support/fault-proxy.ts'
import { Contender, type Stage } from './contender.ts'
import type { Schedule, Step } from './schedule.ts'
import { Session } from './session.ts'
import type { Variant } from './variants.ts'

const mostContenders = 4
/** Far more than any schedule takes: whoever is still waiting then would wait for ever. */
const patienceMs = 20_000

/** Sessions and a table in which schedules are acted out one after the other; many lanes run side by side. */
export interface Lane {
  act(
    variant: Variant,
    lease: string,
    schedule: Schedule,
    report: Pick<Stage, 'outcome' | 'complain'>,
  ): Promise<void>
  close(): Promise<void>
}

interface Scene {
  readonly contenders: readonly Contender[]
  readonly lease: string
  readonly outcome: Stage['outcome']
  readonly complain: Stage['complain']
}

/** Who writes as the leader: no superuser, so that the owner of the leases may end its backend. */
export const worker = 'worker'

/** @param urlOf - the address for one of the users; the owner of everything by default */
export async function openLane(urlOf: (user?: string) => string, number: number): Promise<Lane> {
  const connectionString = urlOf()
  const proxy = await FaultProxy.to(connectionString)
  const throughProxy = proxy.through(urlOf(worker))
  const observer = new Session(connectionString)
  const pairs = Array.from({ length: mostContenders }, (_, who) => ({
    leases: new Session(connectionString),
    work: new Session(who === 0 ? throughProxy : urlOf(worker)),
  }))
  const table = `work_${number}`

  const act: Lane['act'] = async (variant, lease, schedule, report) => {
    await prepare(observer, variant, lease, table)
    const stage: Stage = { variant, lease, table, ...report }
    const contenders = pairs
      .slice(0, schedule.contenders)
      .map((pair, who) => new Contender(`contender ${who}`, stage, pair))
    const scene: Scene = { contenders, lease, ...report }
    const under: Promise<void>[] = []
    for (const step of schedule.steps) await take(step, scene, observer, proxy, under)
    proxy.letGo()
    for (const contender of contenders) {
      under.push(
        contender.leases.does(() => contender.settle()),
        contender.work.does(() => contender.end('COMMIT')),
      )
    }
    const stuck = delay(patienceMs, true, { ref: false })
    if ((await Promise.race([Promise.all(under), stuck])) === true) {
      throw new Error(`${lease} is stuck: ${JSON.stringify(schedule)}`)
    }
  }
  const close = async () => {
    for (const session of [...pairs.flatMap(({ leases, work }) => [leases, work]), observer])
      await session.close()
    await proxy.close()
  }
  return { act, close }
}

async function prepare(observer: Session, variant: Variant, lease: string, table: string): Promise<void> {
  await observer.query(`DROP TABLE IF EXISTS ${table}`)
  await observer.query(`CREATE TABLE ${table} (lease text NOT NULL, token bigint NOT NULL)`)
  await observer.query(`GRANT SELECT, INSERT ON ${table} TO ${worker}`)
  if (variant.isProtected) await observer.query(`SELECT elect.protect_table('${table}', $1)`, [lease])
  if (!variant.takesOverByHand) return
  // An UPDATE needs a row.
  await observer.query("SELECT elect.release_lease($1, (elect.acquire_lease($1, 'nobody')).token)", [lease])
}

/** Starts the step, and waits until it is done or the server shows that it has to wait for another. */
async function take(
  step: Step,
  scene: Scene,
  observer: Session,
  proxy: FaultProxy,
  under: Promise<void>[],
): Promise<void> {
  // What contenders do is counted where they do it.
  if (!('who' in step) || step.act === 'kill') scene.outcome(step.act)
  if (step.act === 'hold') return proxy.hold(step.direction)
  if (step.act === 'let go') return proxy.letGo()
  if (step.act === 'expire') return untilExpired(observer, scene.lease)
  const contender = at(scene.contenders, step.who)
  if (step.act === 'kill') {
    const { pid } = step.session === 'work' ? contender.work : contender.leases
    if (pid !== 0) await observer.query('SELECT pg_terminate_backend($1, 2000)', [pid])
    return
  }
  const session = sessionFor(step, contender)
  const behind = session.busy || (step.who === 0 && session === contender.work && proxy.holding)
  const done = session.does(() => perform(step, contender, scene))
  under.push(done)
  if (behind) return
  const finished = done.then(() => true)
  while (!(await Promise.race([finished, delay(6, false)]))) {
    if (!(await isBlocked(observer, session.pid))) continue
    // It is documented to wait for nobody.
    if (step.act === 'acquire' && !contender.stage.variant.takesOverByHand) {
      scene.complain('acquire waited for a lock')
    }
    return
  }
}

function sessionFor(step: Step, contender: Contender): Session {
  const ofLease = ['acquire', 'renew', 'release', 'transfer', 'force']
  return ofLease.includes(step.act) ? contender.leases : contender.work
}

function perform(step: Step, contender: Contender, { contenders }: Scene): Promise<void> {
  switch (step.act) {
    case 'acquire':
      return contender.acquire(step)
    case 'renew':
      return contender.renew()
    case 'release':
      return contender.release()
    case 'transfer':
      return contender.transfer(at(contenders, step.to))
    case 'force':
      return contender.force(step.terminate)
    case 'begin':
      return contender.begin(step.isolation, step.guarded)
    case 'guard':
      return contender.guard()
    case 'write':
      return contender.write(step.bare)
    case 'savepoint':
      return contender.savepoint()
    case 'rollback to':
      return contender.rollbackTo()
    case 'commit':
      return contender.end('COMMIT')
    case 'rollback':
      return contender.end('ROLLBACK')
    default:
      throw new Error(`no contender does ${step.act}`)
  }
}

async function isBlocked(observer: Session, pid: number): Promise<boolean> {
  // Not every lock: commits that notify, and tables that grow, take some for an instant.
  const text = `SELECT wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple', 'advisory') AS blocked
    FROM pg_stat_get_activity($1)`
  const { rows } = await observer.query<{ blocked: boolean | null }>(text, [pid])
  return rows[0]?.blocked === true
}

async function untilExpired(observer: Session, lease: string): Promise<void> {
  const text = `SELECT pg_sleep_until(max(expires_at) + '1 ms') FROM elect.leases WHERE name = $1 AND holder IS NOT NULL`
  await observer.query(text, [lease])
}

function at(contenders: readonly Contender[], who: number): Contender {
  const contender = contenders[who]
  if (contender === undefined) throw new Error(`there is no contender ${who}`)
  return contender
}
