import { execFile } from 'node:child_process'
import { chown, lchown, mkdtemp, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The user that the server runs as, in the form that `spawn` takes. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

const run = promisify(execFile)

/** PostgreSQL refuses to run as root: then somebody unprivileged does it. Undefined means "as ourselves". */
export async function serverAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const entry = entries.find(([name]) => name === 'nobody') ?? entries.find(([name]) => name === 'postgres')
  const [uid, gid] = [Number(entry?.[2]), Number(entry?.[3])]
  if (!Number.isInteger(uid) || !Number.isInteger(gid) || uid === 0) {
    throw new Error('PostgreSQL cannot run as root, and /etc/passwd lists neither nobody nor postgres')
  }
  // Some systems write the user nobody as -2.
  return { uid: uid >>> 0, gid: gid >>> 0 }
}

/** Whether a command ends well under that account. */
export async function runsAs(account: Account | undefined, file: string, args: string[]): Promise<boolean> {
  // The folder we stand in may be closed to the other user.
  return run(file, args, { cwd: '/', ...account }).then(
    () => true,
    () => false,
  )
}

/** An empty folder of that account's own, its path short enough for a unix socket below it. */
export async function makeFolderOf(account: Account | undefined): Promise<string> {
  for (const parent of [tmpdir(), '/tmp']) {
    // TMPDIR can lie below a home that only we may enter.
    if (account !== undefined && !(await runsAs(account, 'test', ['-x', parent]))) continue
    const folder = await mkdtemp(join(parent, 'pge-'))
    if (account !== undefined) await chown(folder, account.uid, account.gid)
    return folder
  }
  throw new Error(`no temporary folder is open to uid ${account?.uid}: tried ${tmpdir()} and /tmp`)
}

/** Hands a whole tree over, so that it can be read even if it was made under a strict umask. */
export async function giveTree(folder: string, account: Account): Promise<void> {
  await chown(folder, account.uid, account.gid)
  for (const entry of await readdir(folder, { recursive: true })) {
    await lchown(join(folder, entry), account.uid, account.gid)
  }
}
