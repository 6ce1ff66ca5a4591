import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const sqlFolder = new URL('../../sql/', import.meta.url)

/**
 * A migration that runs a file of `sql/`, so that psql and the migrations install the same text.
 *
 * It runs nothing where the schema has that version already, as after an installation by psql: the migrations then go on from there.
 *
 * @param {number} version the version that the schema has after it
 * @param {string} file
 * @returns {{ up: (pgm: import('node-pg-migrate').MigrationBuilder) => Promise<void>, down: false }}
 */
export function fromSqlFile(version, file) {
  return {
    async up(pgm) {
      if ((await installedVersion(pgm.db)) < version) pgm.sql(await expandIncludes(new URL(file, sqlFolder)))
    },
    // Going back would drop every lease that is held.
    down: false,
  }
}

/**
 * The text that psql would send: the included files in place of the `\ir` lines, and no other psql commands. The transaction is the
 * migration's own.
 *
 * @param {URL} file
 * @returns {Promise<string>}
 */
export async function expandIncludes(file) {
  const lines = (await readFile(file, 'utf8')).split('\n')
  const expanded = lines.map((line) => {
    const include = /^\\ir\s+(\S+)\s*$/.exec(line)?.[1]
    if (include !== undefined) return expandIncludes(new URL(include, file))
    if (/^(BEGIN|COMMIT);$/.test(line)) return ''
    if (!line.startsWith('\\')) return line
    if (/^\\set ON_ERROR_STOP on$/.test(line)) return ''
    throw new Error(`${fileURLToPath(file)}: only \\ir can be carried out here, got ${line}`)
  })
  return (await Promise.all(expanded)).join('\n')
}

/**
 * @param {import('node-pg-migrate').MigrationBuilder['db']} db
 * @returns {Promise<number>} 0: not installed
 */
async function installedVersion(db) {
  const [look] = await db.select(`SELECT to_regprocedure('elect.schema_version()') IS NOT NULL AS installed`)
  if (!look.installed) return 0
  const [{ version }] = await db.select('SELECT elect.schema_version() AS version')
  return version
}
