import type { Logger } from '../../../src/logger.ts'

export interface LogLine {
  readonly level: keyof Logger
  readonly fields: object
  readonly message: string
}

/** Keeps what was logged. */
export class RecordingLog {
  readonly lines: LogLine[] = []

  readonly logger: Logger = {
    debug: (fields, message) => void this.lines.push({ level: 'debug', fields, message }),
    info: (fields, message) => void this.lines.push({ level: 'info', fields, message }),
    warn: (fields, message) => void this.lines.push({ level: 'warn', fields, message }),
    error: (fields, message) => void this.lines.push({ level: 'error', fields, message }),
  }

  /** Lines that say that something is wrong. */
  get complaints(): LogLine[] {
    return this.lines.filter(({ level }) => level === 'warn' || level === 'error')
  }

  messages(level: keyof Logger): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message)
  }
}
