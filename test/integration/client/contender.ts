/**
 * A process that does what the messages of its parent tell it, for tests with real processes. Says what happens to it by messages
 * of its own.
 */
import { PgElect, type Takeover } from '../../../src/index.ts'
import type { ContenderCommand, ContenderReport } from './processes.ts'

const [connectionString = '', electionName = '', ttlMs = '0', takeover = 'expiry', keptBy] =
  process.argv.slice(2)
const client = new PgElect({ connectionString, ttlMs: Number(ttlMs), session: keptBy === 'session' })
const election = client.election(electionName, {
  metadata: { pid: process.pid },
  takeover: takeover as Takeover,
})

function report(message: ContenderReport): void {
  process.send?.(message)
}

async function lead(): Promise<void> {
  await election.lead(async (leadership) => {
    report({ event: 'working', token: leadership.token })
    const isHeldAtOnce = await new Promise<boolean>((resolve) => {
      leadership.signal.addEventListener('abort', () => resolve(leadership.isHeld))
      process.on('message', (command: ContenderCommand) => {
        if (command === 'look') report({ event: 'looked', isHeld: leadership.isHeld })
      })
    })
    report({ event: 'stopped', token: leadership.token, isHeld: isHeldAtOnce })
  })
}

process.on('message', (command: ContenderCommand) => {
  if (command === 'install') {
    client.install().then(
      () => report({ event: 'installed' }),
      (error: unknown) => report({ event: 'failed', message: String(error) }),
    )
  }
  if (command === 'lead')
    lead().catch((error: unknown) => report({ event: 'failed', message: String(error) }))
  if (command === 'close') void client.close().then(() => process.exit(0))
})
report({ event: 'ready' })
