import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { installSchema } from './install.ts'

const prefix = 'elect_template_'

/** The name of every test database of a run begins so: what a test forgot is found by it. */
export function testDatabasePrefix(template: string): string {
  return `elect_test_${template.slice(prefix.length)}_`
}

/** Makes the database with the schema that test databases are copied from, and returns its name. */
export async function createTemplate(serverUrl: string): Promise<string> {
  const name = `${prefix}${randomBytes(5).toString('hex')}`
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  try {
    await client.query(`CREATE DATABASE ${name} TEMPLATE template0`)
    try {
      const url = new URL(serverUrl)
      url.pathname = `/${name}`
      await installSchema(url.href)
      // A database that somebody is connected to cannot be copied.
      await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
    } catch (error) {
      await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
      throw error
    }
  } finally {
    await client.end()
  }
  return name
}

/** Drops the template and whatever test databases of its run are left. */
export async function dropTemplate(serverUrl: string, template: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  try {
    const text = 'SELECT datname FROM pg_database WHERE datname = $1 OR starts_with(datname, $2)'
    const { rows } = await client.query<{ datname: string }>(text, [template, testDatabasePrefix(template)])
    for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS ${datname} WITH (FORCE)`)
  } finally {
    await client.end()
  }
}
