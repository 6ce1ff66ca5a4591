import pino from 'pino'

/** What this package needs of a logger: pino, or anything of its shape. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Warnings and errors to standard error, as pino's JSON lines: a library should not be heard unless something is wrong. */
export function defaultLogger(): Logger {
  return pino({ name: 'pg-elect', level: 'warn' }, pino.destination({ fd: 2, sync: true }))
}

/** What a log line tells of an error. Never the error itself: a driver's error can carry its whole configuration. */
export function describeError(error: unknown): { code?: string; message: string } {
  if (!(error instanceof Error)) return { message: String(error) }
  return 'code' in error && typeof error.code === 'string'
    ? { code: error.code, message: error.message }
    : { message: error.message }
}
