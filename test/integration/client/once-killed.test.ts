import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'

const payerScript = fileURLToPath(new URL('payer.ts', import.meta.url))
const steps = ['before begin', 'begun', 'called', 'done']

let database: TestDatabase
let session: pg.Client
let service: Server
/** The idempotency keys that the service was called with, in order. */
const keysOfCalls: string[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  await session.query('CREATE TABLE paid (id text)')
  service = createServer((request, response) => {
    keysOfCalls.push(String(request.headers['idempotency-key']))
    response.end('{}')
  })
  service.listen(0, '127.0.0.1')
  await once(service, 'listening')
})
afterAll(async () => {
  service.close()
  await database.drop()
})

interface Payer {
  readonly process: ChildProcess
  /** What it said since it was started. */
  readonly said: { step?: string; result?: { attempt: number } }[]
}

/** Starts a payer and lets it go on until it reaches that step, at which it waits; `end`: to its end. */
async function payUntil(step: string, lease: string, place: string): Promise<Payer> {
  const child = fork(payerScript, [database.connectionString, lease, lease, place], {
    execArgv: ['--import', 'tsx'],
  })
  const payer: Payer = { process: child, said: [] }
  onTestFinished(() => void child.kill('SIGKILL'))
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message: Payer['said'][number]) => {
      payer.said.push(message)
      if (message.step === step) resolve()
      else if (message.step !== undefined) child.send('go on')
    })
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the payer ended with ${code}`))))
  })
  return payer
}

async function kill(payer: Payer): Promise<void> {
  const exited = once(payer.process, 'exit')
  payer.process.kill('SIGKILL')
  await exited
}

const resultOf = ({ said }: Payer) => said.find(({ result }) => result !== undefined)?.result

describe('a payer that is killed', () => {
  test.each(steps)('inside the database, when it is %s: it is paid once', async (step) => {
    const lease = `inside, ${step}`
    await kill(await payUntil(step, lease, 'inside'))
    const next = await payUntil('end', lease, 'inside')
    // What had not committed was as if it had never been.
    expect(resultOf(next)).toEqual({ attempt: 1 })
    const { rowCount } = await session.query('SELECT FROM paid WHERE id = $1', [lease])
    expect(rowCount).toBe(1)
  })

  test.each(steps)('outside, when it is %s: the call is repeated only with the same key', async (step) => {
    const lease = `outside, ${step}`
    const address = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`
    keysOfCalls.length = 0
    await kill(await payUntil(step, lease, address))
    const next = await payUntil('end', lease, address)
    const again = await payUntil('end', lease, address)

    const { rows } = await session.query(
      'SELECT state, attempt, idempotency_key FROM elect.operations WHERE lease = $1',
      [lease],
    )
    const attempts = step === 'begun' || step === 'called' ? 2 : 1
    expect(rows).toEqual([{ state: 'done', attempt: attempts, idempotency_key: expect.any(String) }])
    expect(resultOf(next)?.attempt).toBe(attempts)
    expect(resultOf(again)).toEqual(resultOf(next))
    // Twice only where the first call was made and its record was not.
    expect(keysOfCalls).toEqual(
      Array.from({ length: step === 'called' ? 2 : 1 }, () => rows[0].idempotency_key),
    )
  })
})
