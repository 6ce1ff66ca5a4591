/** A copy of the project in which faults are made: the project itself is never touched. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type ListedMutant, mutated } from './mutant.ts'

const LEFT_OUT = new Set(['node_modules', '.git', 'dist', 'coverage'])

/** One copy, for one trial at a time. */
export interface Workshop extends AsyncDisposable {
  readonly folder: string
  /** Makes the fault, tries, and mends it again, whatever comes of the trial. */
  withFault<T>(mutant: ListedMutant, trial: () => Promise<T>): Promise<T>
}

/** Copies the project, with its dependencies by reference. */
export async function openWorkshop(root: string): Promise<Workshop> {
  const folder = await mkdtemp(join(tmpdir(), 'pg-elect-mutants-'))
  const remove = () => rm(folder, { recursive: true, force: true, maxRetries: 5 })
  try {
    await cp(root, folder, { recursive: true, filter: (source) => !LEFT_OUT.has(basename(source)) })
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  } catch (error) {
    await remove()
    throw error
  }
  return {
    folder,
    async withFault(mutant, trial) {
      const path = join(folder, mutant.file)
      const sound = await readFile(path, 'utf8')
      await writeFile(path, mutated(sound, mutant))
      try {
        return await trial()
      } finally {
        await writeFile(path, sound)
      }
    },
    [Symbol.asyncDispose]: remove,
  }
}
