import { onTestFinished } from 'vitest'
import { type Logger, PgElect, type PgElectOptions } from '../../../src/index.ts'
import type { TestDatabase } from '../../support/postgres/database.ts'

/** Short enough for a test to wait for an expiry, long enough for a busy machine to renew in time. */
export const TTL_MS = 2_000

/** One line that a client logged. */
export interface LogLine {
  readonly level: keyof Logger
  readonly fields: object
  readonly message: string
}

/** What a client logged, to look at or to wait for. */
export class Log {
  readonly lines: LogLine[] = []
  readonly #looks = new Set<() => void>()

  add(line: LogLine): void {
    this.lines.push(line)
    for (const look of this.#looks) look()
  }

  /** Lines that say something is wrong. */
  get complaints(): LogLine[] {
    return this.lines.filter(({ level }) => level === 'warn' || level === 'error')
  }

  /** Resolves once that message was logged that many times. */
  logged(message: string, times = 1): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.lines.filter((line) => line.message === message).length < times) return
        this.#looks.delete(look)
        resolve()
      }
      this.#looks.add(look)
      look()
    })
  }

  /** Resolves once a candidate of this client listens: it has been refused a second time, after its LISTEN came into force. */
  candidateListens(): Promise<void> {
    return this.logged('waiting for a lease', 2)
  }
}

/** A client of that database with a log that can be looked at; closed at the end of the test. */
export function openClient(
  database: TestDatabase,
  options: PgElectOptions = {},
): { client: PgElect; log: Log } {
  const log = new Log()
  const at = (level: keyof Logger) => (fields: object, message: string) => log.add({ level, fields, message })
  const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const client = new PgElect({
    connectionString: database.connectionString,
    ttlMs: TTL_MS,
    drainTimeoutMs: 2_000,
    logger,
    ...options,
  })
  onTestFinished(() => client.close())
  return { client, log }
}

/** Resolves when the signal aborts, at once if it has. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason)
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true })
  })
}
