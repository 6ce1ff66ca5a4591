/** Single hand-offs: through the client, before a crowd, to a candidate that is dead. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { PgElect } from '../../src/index.ts'
import { connect, quantile } from './bench-server.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

/** Hand-offs a second of so many clients in one process. */
export async function throughClient(
  connectionString: string,
  way: 'line' | 'queue' | 'fast',
  count: number,
  forMs: number,
  name: string,
): Promise<number> {
  const clients = Array.from({ length: count }, () => new PgElect({ connectionString, logger: quiet }))
  const mutexes = clients.map((client) =>
    way === 'fast' ? client.fastMutex(name) : client.mutex(name, { wait: way }),
  )
  for (const mutex of mutexes) await (await mutex.lock()).release()
  let handOffs = 0
  let last = -1
  const startMs = performance.now()
  await Promise.all(
    mutexes.map(async (mutex, index) => {
      while (performance.now() - startMs < forMs) {
        const lock = await mutex.lock()
        if (last !== index) handOffs += 1
        last = index
        await lock.release()
      }
    }),
  )
  const tookMs = performance.now() - startMs
  await Promise.all(clients.map((client) => client.close()))
  return (handOffs / tookMs) * 1000
}

/** What a release costs while so many wait, all in one session, and how many sessions are told of it. */
export async function crowd(
  connectionString: string,
  count: number,
): Promise<{ releaseMs: number; toldPerRelease: number }> {
  const releases = 200
  const name = `crowd of ${count}`
  const [holder, waiters, ...others] = await Promise.all(
    Array.from({ length: 10 }, () => connect(connectionString)),
  )
  if (holder === undefined || waiters === undefined) throw new Error('there are ten connections')
  let told = 0
  for (const session of [waiters, ...others]) {
    session.on('notification', () => {
      told += 1
    })
    await session.query('SELECT elect.listen_here()')
  }
  let token = (await holder.query('SELECT token FROM elect.acquire_lease($1, $2)', [name, 'first'])).rows[0]
    ?.token
  const standInLine = {
    name: 'stand',
    text: "SELECT FROM elect.acquire_lease($1, $2, ttl => '10 minutes', wait => true)",
  }
  for (let i = 0; i < count; i++) await waiters.query({ ...standInLine, values: [name, `waits ${i}`] })
  const timesMs: number[] = []
  for (let i = 0; i < releases; i++) {
    const begunMs = performance.now()
    await holder.query({ name: 'release', text: 'SELECT elect.release_lease($1, $2)', values: [name, token] })
    timesMs.push(performance.now() - begunMs)
    token = (await holder.query('SELECT token FROM elect.get_lease($1)', [name])).rows[0]?.token
    // As many wait as before.
    await waiters.query({ ...standInLine, values: [name, `came later ${i}`] })
  }
  await Promise.all([holder, waiters, ...others].map((client) => client.end()))
  return { releaseMs: quantile(timesMs, 0.5), toldPerRelease: told / releases }
}

/** Times of one durable commit, and of one hand-off from this process to another, taken in turns. */
export async function handOffTimes(
  connectionString: string,
  times: number,
): Promise<{ commitMs: number[]; handOffMs: number[] }> {
  const session = await connect(connectionString)
  await session.query(
    'CREATE TABLE IF NOT EXISTS one_row (id integer PRIMARY KEY, n integer); TRUNCATE one_row; INSERT INTO one_row VALUES (1, 0)',
  )
  const script = fileURLToPath(new URL('successor.ts', import.meta.url))
  const successor = fork(script, [connectionString], { execArgv: ['--import', 'tsx'] })
  const client = new PgElect({ connectionString, logger: quiet })
  const commitMs: number[] = []
  const handOffMs: number[] = []
  let lease = await client.acquire('timed')
  await once(successor, 'message')
  for (let i = 0; i < times; i++) {
    const begunMs = performance.now()
    await session.query({ name: 'commit', text: 'UPDATE one_row SET n = n + 1 WHERE id = 1' })
    commitMs.push(performance.now() - begunMs)
    successor.send('wait')
    while ((await client.candidates('timed')).length === 0);
    const working = once(successor, 'message')
    const releasedNs = process.hrtime.bigint()
    await lease.release()
    const [workNs] = await working
    handOffMs.push(Number(BigInt(workNs) - releasedNs) / 1e6)
    const again = client.acquire('timed')
    while ((await client.candidates('timed')).length === 0);
    successor.send('release')
    lease = await again
  }
  await lease.release()
  successor.kill()
  await client.close()
  await session.end()
  return { commitMs, handOffMs }
}

/** The first in line is dead when it is handed the lease: how long after the accept time the next one leads. */
export async function deadCandidate(connectionString: string, name: string): Promise<number> {
  const session = await connect(connectionString)
  const client = new PgElect({ connectionString, logger: quiet })
  const { rows } = await session.query('SELECT token FROM elect.acquire_lease($1, $2)', [name, 'leader'])
  await session.query('SELECT elect.acquire_lease($1, $2, wait => true)', [name, 'dead'])
  const succession = client.acquire(name)
  while ((await client.candidates(name)).length < 2);
  await session.query('SELECT elect.release_lease($1, $2)', [name, rows[0]?.token])
  const handedMs = performance.now()
  await succession
  const tookMs = performance.now() - handedMs
  await client.close()
  await session.end()
  return tookMs - 2000
}
