/** Leaders in processes of their own, to be killed. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'
import type { Blueprint } from './blueprint.ts'

/** Among the peers' packages, where the bundle finds them, and nobody takes it for a source. */
const BUNDLE = fileURLToPath(
  new URL(`../peers/node_modules/.bundle/leader-${process.pid}.mjs`, import.meta.url),
)
let isBuilt = false

export interface LeaderProcess {
  readonly names: readonly string[]
  /** By SIGKILL: nothing in it can run any more. */
  kill(): void
}

const START_TIMEOUT_MS = 60_000

/** Starts a process that leads under these names. Resolves when it does. */
export async function startLeader(blueprint: Blueprint, names: readonly string[]): Promise<LeaderProcess> {
  build()
  const child = fork(BUNDLE, [JSON.stringify({ blueprint, names })], { execArgv: [] })
  await leading(child)
  return { names, kill: () => child.kill('SIGKILL') }
}

async function leading(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`a leader ended before it led: ${code ?? signal}`)
  })
  ended.catch(() => undefined)
  const signal = AbortSignal.timeout(START_TIMEOUT_MS)
  try {
    await Promise.race([once(child, 'message', { signal }), ended])
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
}

/** As one file of plain JavaScript, with the driver in it: many processes start, and each would translate and gather it anew. */
function build(): void {
  if (isBuilt) return
  buildSync({
    entryPoints: [fileURLToPath(new URL('leader.ts', import.meta.url))],
    outfile: BUNDLE,
    bundle: true,
    // Not installed, or not needed to lead.
    external: ['pg-native', 'pg-cloudflare', 'node-pg-migrate'],
    // The driver's files ask for others in the older way.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
    platform: 'node',
    format: 'esm',
  })
  process.once('exit', () => rmSync(BUNDLE, { force: true }))
  isBuilt = true
}
