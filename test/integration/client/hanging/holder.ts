/**
 * A process that holds a lease and blocks its event loop when its parent says so. Compiled before it is run: a thread cannot be started
 * from sources.
 */
import { PgElect, type PgElectOptions } from '../../../../src/index.ts'
import type { HolderCommand, HolderReport, HolderSetup } from './processes.ts'

const setup = JSON.parse(process.argv[2] ?? '{}') as HolderSetup
const at = (level: string) => (_fields: object, message: string) =>
  report({ event: 'logged', level, message })
const logger = { debug: () => undefined, info: () => undefined, warn: at('warn'), error: at('error') }

function report(message: HolderReport): void {
  process.send?.(message)
}

async function hold(): Promise<void> {
  const client = new PgElect({ ...(setup.options as PgElectOptions), logger })
  const lease = await client.acquire(setup.lease, setup.leaseOptions)
  lease.signal.addEventListener('abort', () => {
    report({ event: 'aborted', reason: String(lease.signal.reason) })
  })
  process.on('message', (command: HolderCommand) => {
    if (command.kind === 'block') {
      // Told while nothing blocks yet: it is written to the pipe at once.
      process.send?.({ event: 'blocking' } satisfies HolderReport, () => {
        const untilMs = performance.now() + command.forMs
        let heldAtMs = 0
        do {
          const pauseMs = Math.min(command.lookEveryMs ?? command.forMs, untilMs - performance.now())
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
          const beforeMs = Date.now()
          if (lease.isHeld) heldAtMs = beforeMs
        } while (performance.now() < untilMs)
        const { isHeld, remainingMs } = lease
        report({ event: 'unblocked', isHeld, remainingMs, isAborted: lease.signal.aborted, heldAtMs })
      })
    }
    if (command.kind === 'look') report({ event: 'looked', isHeld: lease.isHeld })
    if (command.kind === 'close') {
      void client.close().then(() => report({ event: 'closed' }))
    }
  })
  report({ event: 'held', token: lease.token })
}

hold().catch((error: unknown) => {
  report({ event: 'failed', message: String(error) })
  process.disconnect()
})
