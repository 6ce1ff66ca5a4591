import type { TestProject } from 'vitest/node'
import { providePostgres } from './provide.ts'
import type { PostgresServer } from './server.ts'
import { createTemplate, dropTemplate } from './template.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the server: a superuser's, to a database that always exists. */
    postgresUrl: string
    /** The database with the schema that test databases are copied from. */
    templateDatabase: string
  }
}

interface Shared {
  readonly server: PostgresServer
  readonly template: string
}

// Each vitest project loads this file anew, yet one server serves them all.
const shelf = globalThis as { pgElectTestServer?: { users: number; shared: Promise<Shared> } }

/** Called by vitest once for each project that needs a server. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  shelf.pgElectTestServer ??= { users: 0, shared: start() }
  const place = shelf.pgElectTestServer
  place.users += 1
  const { server, template } = await place.shared
  project.provide('postgresUrl', server.connectionString)
  project.provide('templateDatabase', template)
  return async () => {
    place.users -= 1
    if (place.users > 0) return
    delete shelf.pgElectTestServer
    try {
      await dropTemplate(server.connectionString, template)
    } finally {
      await server.stop()
    }
  }
}

async function start(): Promise<Shared> {
  const server = await providePostgres()
  try {
    return { server, template: await createTemplate(server.connectionString) }
  } catch (error) {
    await server.stop()
    throw error
  }
}
