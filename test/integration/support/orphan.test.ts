import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { expect, test } from 'vitest'
import { freezeServer, skipWithoutProc } from '../../faults/support/server-processes.ts'
import { runsAs } from '../../support/postgres/account.ts'
import {
  answers,
  factsFrom,
  killGroup,
  lineFrom,
  runStarter,
  starterFile,
  until,
  untilGone,
} from './helpers.ts'

// A user that exists everywhere, mostly named daemon, and not the one that root would take for the server.
const normalUser = { uid: 1, gid: 1 }
const canBecomeOther = process.getuid?.() === 0 && (await runsAs(normalUser, 'test', ['-r', starterFile]))

test('a server ends with a parent that is killed', async () => {
  const parent = runStarter()
  const server = await factsFrom(parent)
  const client = new pg.Client({ connectionString: server.connectionString })
  client.on('error', () => {})
  await client.connect()
  // The code of a shutdown on request: a server that only lost its folder would end in another way, some time later.
  const sleeping = expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57P01' })
  await killGroup(parent)
  await Promise.all([untilGone(server), sleeping])
})

test('also one that stands still', async (context) => {
  skipWithoutProc(context)
  const parent = runStarter()
  const server = await factsFrom(parent)
  const sessions = await freezeServer(server.pid)
  expect(sessions.length).toBeGreaterThan(0)
  await killGroup(parent)
  await untilGone(server)
  await Promise.all(sessions.map((pid) => until(`process ${pid} is gone`, () => !existsSync(`/proc/${pid}`))))
})

test('nothing stays of a parent killed while it makes the cluster', async () => {
  const parent = runStarter()
  const folder = await lineFrom(parent, /^initialising .* in (\S+)$/)
  expect(existsSync(folder)).toBe(true)
  await killGroup(parent)
  await until(`${folder} is gone`, () => !existsSync(folder))
})

test('a kept server outlives its parent, until the stop command', async () => {
  const parent = runStarter(['keep'])
  const server = await factsFrom(parent)
  await killGroup(parent)
  expect(await answers(server.connectionString)).toBe(true)
  await promisify(execFile)('sh', ['-c', server.stopCommand])
  await untilGone(server)
})

test.runIf(canBecomeOther)('it works for a normal user as it does for root', async () => {
  const parent = runStarter([], normalUser)
  const server = await factsFrom(parent)
  expect(await answers(server.connectionString)).toBe(true)
  expect((await stat(join(server.folder, 'data'))).uid).toBe(normalUser.uid)
  await killGroup(parent)
  await untilGone(server)
})
