/** The peers' clients are packages of their own, so that nobody who only uses or tests pg-elect has to install them. */
import { Unavailable } from '../harness/scenario.ts'

/** Imports a package of `bench/peers`. @throws Unavailable if it is not installed. */
export async function importPeer<Module>(name: string): Promise<Module> {
  try {
    return (await import(name)) as Module
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new Unavailable(`the npm package ${name} is not installed (bench/install-peers.sh installs it)`)
  }
}
