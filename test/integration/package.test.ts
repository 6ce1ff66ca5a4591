import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { createTestDatabase } from '../support/postgres/database.ts'

const run = promisify(execFile)

/** What a user of the published package would write: installs, elects, and types that hold. */
const application = `
import { PgElect, LeaseLostError, type Leadership } from 'pg-elect'

await using elect = new PgElect({ connectionString: process.env.DATABASE_URL ?? '', heartbeat: 'worker' })
await elect.install()
const token = await elect.election('packed').lead(async (leadership: Leadership): Promise<number> => {
  leadership.assertHeld()
  return leadership.token
})
if (!(token > 0) || LeaseLostError.name !== 'LeaseLostError') throw new Error('the package does not work')
`

test('the packed package installs the schema, elects, and has types', { timeout: 120_000 }, async () => {
  await using database = await createTestDatabase({ empty: true })
  const folder = await mkdtemp(join(tmpdir(), 'pg-elect-package-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))

  // Into a folder of its own: the working tree may hold another build.
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'pg-elect')
  await mkdir(installed, { recursive: true })
  await run('npm', ['pack', '--pack-destination', folder])
  const [tarball = ''] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
  await run('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components=1'])
  for (const name of await readdir('node_modules')) {
    if (!name.startsWith('.')) await symlink(resolve('node_modules', name), join(modules, name))
  }

  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  await writeFile(join(folder, 'app.ts'), application)
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    strict: true,
    skipLibCheck: false,
    types: ['node'],
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  await run(resolve('node_modules/.bin/tsc'), ['-p', folder])
  const { stderr } = await run(process.execPath, [join(folder, 'app.js')], {
    env: { ...process.env, DATABASE_URL: database.connectionString },
  })
  // Such as a thread that could not be started.
  expect(stderr).toBe('')
})
