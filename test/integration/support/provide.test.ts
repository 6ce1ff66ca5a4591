import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { embeddedBinariesFolder } from '../../support/postgres/binaries.ts'
import { dockerAnswers } from '../../support/postgres/container.ts'
import { createTestDatabase } from '../../support/postgres/database.ts'
import { providePostgres } from '../../support/postgres/provide.ts'
import { createTemplate, dropTemplate, testDatabasePrefix } from '../../support/postgres/template.ts'
import { answers } from './helpers.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

test('DATABASE_URL is used and left running', async () => {
  vi.stubEnv('PG_ELECT_TEST_BINARIES', undefined)
  vi.stubEnv('DATABASE_URL', inject('postgresUrl'))
  const progress = vi.fn<(line: string) => void>()
  const server = await providePostgres({ progress })
  expect(server.connectionString).toBe(inject('postgresUrl'))
  expect(progress.mock.calls).toEqual([
    [expect.stringMatching(/^PostgreSQL for this run: DATABASE_URL, PostgreSQL \d/)],
  ])
  await server.stop()
  expect(await answers(server.connectionString)).toBe(true)
})

test('PG_ELECT_TEST_BINARIES goes before DATABASE_URL', async () => {
  vi.stubEnv('PG_ELECT_TEST_BINARIES', embeddedBinariesFolder())
  vi.stubEnv('DATABASE_URL', inject('postgresUrl'))
  const server = await providePostgres({ progress: () => {} })
  expect(server.description).toMatch(/^embedded/)
  await server.stop()
})

test('a template takes the databases of its run with it, and no others', async () => {
  await using bystander = await createTestDatabase({ empty: true })
  const client = await bystander.connect()
  const template = await createTemplate(inject('postgresUrl'))
  const forgotten = `${testDatabasePrefix(template)}forgotten`
  await client.query(`CREATE DATABASE ${forgotten} TEMPLATE ${template}`)
  await dropTemplate(inject('postgresUrl'), template)
  const { rows } = await client.query('SELECT datname FROM pg_database WHERE datname = ANY($1)', [
    [template, forgotten, bystander.name],
  ])
  expect(rows).toEqual([{ datname: bystander.name }])
})

const socketPath = join(tmpdir(), `engine-${process.pid}.sock`)

async function listening(server: Server): Promise<Server> {
  await rm(socketPath, { force: true })
  vi.stubEnv('DOCKER_HOST', `unix://${socketPath}`)
  server.listen(socketPath)
  await once(server, 'listening')
  return server
}

test('an engine that answers a ping is there', async () => {
  const engine = await listening(
    createHttpServer((request, response) => {
      response.statusCode = request.url === '/_ping' ? 200 : 404
      response.end('OK')
    }),
  )
  expect(await dockerAnswers()).toBe(true)
  engine.close()
})

test('an engine that accepts but stays silent is not', async () => {
  const engine = await listening(createServer())
  expect(await dockerAnswers(100)).toBe(false)
  engine.close()
})

test('neither is one whose socket is missing', async () => {
  vi.stubEnv('DOCKER_HOST', `unix://${socketPath}.missing`)
  expect(await dockerAnswers()).toBe(false)
})
