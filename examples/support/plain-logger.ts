import type { Logger } from '../../src/index.ts'

/** What the library warns of, in plain words: its own logger would write JSON across the picture. */
export function plainLogger(write: (line: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (_fields, message) => write(message),
    error: (_fields, message) => write(message),
  }
}
