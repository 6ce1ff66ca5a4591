import pg from 'pg'
import { expandIncludes } from '../../../migrations/support/from-sql-file.js'

const installScript = new URL('../../../sql/install.sql', import.meta.url)

/** Installs the schema as psql would by `\i sql/install.sql`. */
export async function installSchema(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await runScript(client, await expandIncludes(installScript))
  } finally {
    await client.end()
  }
}

async function runScript(client: pg.Client, script: string): Promise<void> {
  try {
    await client.query(script)
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.position === undefined) throw error
    // The server counts characters of a text that no file holds: show the place itself.
    const before = script.slice(0, Number(error.position) - 1)
    const start = before.lastIndexOf('\n') + 1
    const line = script.slice(start).split('\n', 1)[0]
    throw new Error(`the schema does not install: ${error.message}, at: ${line?.trim()}`, { cause: error })
  }
}
