import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { runsAs, serverAccount } from '../../support/postgres/account.ts'
import { answers, factsFrom, lineFrom, runStarter, starterFile, until, untilGone } from './helpers.ts'

const account = await serverAccount()
const otherMayRead = account !== undefined && (await runsAs(account, 'test', ['-r', starterFile]))

test('a server ends with a parent that is killed', async () => {
  const parent = runStarter()
  const server = await factsFrom(parent)
  expect(await answers(server.connectionString)).toBe(true)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  await untilGone(server)
})

test('nothing stays of a parent killed while it makes the cluster', async () => {
  const parent = runStarter()
  const folder = await lineFrom(parent, /^initialising .* in (\S+)$/)
  expect(existsSync(folder)).toBe(true)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  await until(`${folder} is gone`, () => !existsSync(folder))
})

test('a kept server outlives its parent, until the stop command', async () => {
  const parent = runStarter(['keep'])
  const server = await factsFrom(parent)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  expect(await answers(server.connectionString)).toBe(true)
  await promisify(execFile)('sh', ['-c', server.stopCommand])
  await untilGone(server)
})

test.runIf(otherMayRead)('it works for a normal user as it does for root', async () => {
  const parent = runStarter([], account)
  const server = await factsFrom(parent)
  expect(await answers(server.connectionString)).toBe(true)
  expect((await stat(join(server.folder, 'data'))).uid).toBe(account?.uid)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  await untilGone(server)
})
