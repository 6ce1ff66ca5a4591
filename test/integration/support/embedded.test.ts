import { existsSync } from 'node:fs'
import { chmod, cp, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { embeddedBinariesFolder } from '../../support/postgres/binaries.ts'
import { startEmbeddedPostgres } from '../../support/postgres/embedded.ts'
import { freePort } from '../../support/postgres/port.ts'
import { answers } from './helpers.ts'

const isRoot = process.getuid?.() === 0

/** Finds the server's folder where its start fails and nothing is returned. */
function recorder() {
  const lines: string[] = []
  const folder = () =>
    /in (\S+)$/.exec(lines.find((line) => line.startsWith('initialising')) ?? '')?.[1] ?? ''
  return { lines, folder, progress: (line: string) => void lines.push(line) }
}

test('a server starts, answers, stops, and leaves nothing', async () => {
  const server = await startEmbeddedPostgres({ settings: { application_name: "it's set" } })
  const client = new pg.Client({ connectionString: server.connectionString })
  await client.connect()
  const { rows } = await client.query(
    `SELECT current_setting('server_encoding') AS encoding, current_setting('lc_messages') AS messages,
       current_setting('fsync') AS fsync, setting AS name
     FROM pg_file_settings WHERE pg_file_settings.name = 'application_name'`,
  )
  expect(rows).toEqual([{ encoding: 'UTF8', messages: 'C', fsync: 'on', name: "it's set" }])
  expect(server.description).toMatch(/^embedded PostgreSQL \d+\.\d+$/)
  expect(await readdir(server.folder)).not.toContain('password')
  const { uid } = await stat(join(server.folder, 'data'))
  expect(uid).not.toBe(0)
  await client.end()

  await Promise.all([server.stop(), server.stop()])
  expect(existsSync(server.folder)).toBe(false)
  expect(await answers(server.connectionString)).toBe(false)
  expect(() => process.kill(server.pid, 0)).toThrow('ESRCH')
})

test('stopping does not wait for sessions', async () => {
  const server = await startEmbeddedPostgres()
  const client = new pg.Client({ connectionString: server.connectionString })
  client.on('error', () => {})
  await client.connect()
  // The code of a fast shutdown: an immediate one, after waiting in vain, would give 57P02.
  const sleeping = expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57P01' })
  await Promise.all([server.stop(), sleeping])
  expect(existsSync(server.folder)).toBe(false)
})

test('the password is asked for, over the network and over the socket', async () => {
  const server = await startEmbeddedPostgres()
  const url = new URL(server.connectionString)
  url.password = 'wrong'
  const port = Number(url.port)
  for (const config of [
    { connectionString: url.href },
    { host: server.folder, port, user: 'postgres', password: 'wrong', database: 'postgres' },
  ]) {
    await expect(new pg.Client(config).connect()).rejects.toThrow(/password authentication failed/)
  }
  await server.stop()
})

test('a busy port is given up for another', async () => {
  const occupant = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => occupant.once('listening', resolve))
  const { port: busy } = occupant.address() as AddressInfo
  const { lines, progress } = recorder()
  let asked = 0
  const server = await startEmbeddedPostgres({
    pickPort: async () => {
      asked += 1
      return asked === 1 ? busy : freePort()
    },
    progress,
  })
  expect(asked).toBe(2)
  expect(lines).toContain(`port ${busy} is taken`)
  expect(await answers(server.connectionString)).toBe(true)
  await server.stop()

  const always = recorder()
  await expect(
    startEmbeddedPostgres({ pickPort: async () => busy, progress: always.progress }),
  ).rejects.toThrow(/Address already in use/)
  expect(existsSync(always.folder())).toBe(false)
  occupant.close()
})

test('a server that dies shows its log and leaves nothing', async () => {
  const { folder, progress } = recorder()
  await expect(startEmbeddedPostgres({ settings: { shared_buffers: 'much' }, progress })).rejects.toThrow(
    /ended while starting[\s\S]*invalid value for parameter "shared_buffers"/,
  )
  expect(folder()).toMatch(/pge-/)
  expect(existsSync(folder())).toBe(false)
})

test.runIf(isRoot)('binaries in a folder closed to the other user are copied', async () => {
  const closed = await mkdtemp(join(tmpdir(), 'closed-'))
  try {
    await cp(dirname(embeddedBinariesFolder()), join(closed, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    })
    // As left by a strict umask: the copy must be handed over, not only made.
    await chmod(join(closed, 'native', 'bin', 'postgres'), 0o700)
    await chmod(closed, 0o700)
    const { lines, progress } = recorder()
    const server = await startEmbeddedPostgres({ binariesFolder: join(closed, 'native', 'bin'), progress })
    expect(lines).toContain(`copied the binaries to ${server.folder}/binaries/bin`)
    expect(await answers(server.connectionString)).toBe(true)
    await server.stop()
    expect(existsSync(server.folder)).toBe(false)
  } finally {
    await rm(closed, { recursive: true })
  }
})
