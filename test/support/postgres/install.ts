import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const installScript = fileURLToPath(new URL('../../../sql/install.sql', import.meta.url))

/** Installs the schema as psql would by `\i sql/install.sql`. */
export async function installSchema(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await runScript(client, await expandScript(installScript))
  } finally {
    await client.end()
  }
}

/** The text of a psql script with its `\ir` lines replaced by the files they name, other psql commands left out. */
export async function expandScript(path: string): Promise<string> {
  const lines = (await readFile(path, 'utf8')).split('\n')
  const expanded = lines.map(async (line) => {
    const included = /^\\ir\s+(\S+)\s*$/.exec(line)?.[1]
    if (included !== undefined) return expandScript(join(dirname(path), included))
    return line.startsWith('\\') ? '' : line
  })
  return (await Promise.all(expanded)).join('\n')
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
