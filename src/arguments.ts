/** Checks of what a caller passes in, before anything is sent. The database checks again: it has other callers, too. */
import { InvalidArgumentError } from './errors.ts'
import type { Metadata } from './queries.ts'

const NAME_BYTES_MAX = 200
const VALUE_BYTES_MAX = 500
/** How long the name of a holder may be. */
export const HOLDER_BYTES_MAX = VALUE_BYTES_MAX
const METADATA_BYTES_MAX = 4096

/** The random part of a holder's name takes nine bytes: what is left for the readable one. */
export const LABEL_BYTES_MAX = VALUE_BYTES_MAX - 9

/** @throws InvalidArgumentError unless it can name a lease: text of 1 to 200 bytes. */
export function requireName(name: unknown): asserts name is string {
  requireText('name', name, NAME_BYTES_MAX)
}

/** @throws InvalidArgumentError unless it can be the value of a register: null, or text of up to 500 bytes. */
export function requireValue(argument: string, value: unknown): asserts value is string | null {
  if (value !== null && value !== '') requireText(argument, value, VALUE_BYTES_MAX)
}

/** @throws InvalidArgumentError unless it is text of 1 to that many bytes in UTF-8, without NUL and lone surrogates. */
export function requireText(argument: string, value: unknown, bytesMax: number): asserts value is string {
  const expected = `Invalid ${argument}: expected text of 1 to ${bytesMax} bytes`
  if (typeof value !== 'string') throw new InvalidArgumentError(`${expected}, got ${kindOf(value)}`)
  const bytes = Buffer.byteLength(value)
  if (bytes === 0 || bytes > bytesMax) throw new InvalidArgumentError(`${expected}, got ${bytes} bytes`)
  if (value.includes('\0'))
    throw new InvalidArgumentError(`${expected} without NUL, got NUL at ${value.indexOf('\0')}`)
  // The driver would replace them, and two names would become one.
  if (!value.isWellFormed())
    throw new InvalidArgumentError(`${expected} of whole characters, got a lone surrogate`)
}

/** @throws InvalidArgumentError unless it is undefined or an object that fits 4 KiB of JSON. */
export function requireMetadata(metadata: unknown): asserts metadata is Metadata | undefined {
  if (metadata === undefined) return
  const expected = `Invalid metadata: expected an object of at most ${METADATA_BYTES_MAX} bytes of JSON`
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw new InvalidArgumentError(`${expected}, got ${kindOf(metadata)}`)
  }
  let json: string | undefined
  let fault: string | undefined
  try {
    json = JSON.stringify(metadata, (key, value) => {
      for (const text of [key, value]) {
        if (typeof text !== 'string') continue
        if (text.includes('\0')) fault = 'NUL in a string'
        if (!text.isWellFormed()) fault = 'a lone surrogate'
      }
      return value
    })
  } catch {
    fault = 'one that JSON cannot express'
  }
  // An object may express itself as something else, or as nothing.
  if (json?.startsWith('{') !== true) fault ??= 'one of which the JSON is no object'
  if (json === undefined || fault !== undefined) {
    throw new InvalidArgumentError(`${expected}, without NUL and lone surrogates, got ${fault}`)
  }
  const bytes = Buffer.byteLength(json)
  if (bytes > METADATA_BYTES_MAX) throw new InvalidArgumentError(`${expected}, got ${bytes} bytes`)
}

/** @throws InvalidArgumentError unless it is a whole number from 0 on. */
export function requireVersion(version: unknown): asserts version is number {
  if (typeof version === 'number' && Number.isSafeInteger(version) && version >= 0) return
  throw new InvalidArgumentError(
    `Invalid version: expected a whole number from 0 on, got ${typeof version === 'number' ? version : kindOf(version)}`,
  )
}

const PRIORITY_MAX = 2 ** 31 - 1

/** @throws InvalidArgumentError unless it is a whole number that the database takes as a priority. */
export function requirePriority(priority: unknown): asserts priority is number {
  requireCount('priority', priority, -PRIORITY_MAX, PRIORITY_MAX)
}

/** @throws InvalidArgumentError unless it is a whole number within the bounds. */
export function requireCount(
  argument: string,
  value: unknown,
  min: number,
  max: number,
): asserts value is number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return
  throw new InvalidArgumentError(
    `Invalid ${argument}: expected a whole number from ${min} to ${max}, got ${typeof value === 'number' ? value : kindOf(value)}`,
  )
}

/** @throws InvalidArgumentError unless it is a function. */
export function requireFunction(argument: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new InvalidArgumentError(`Invalid ${argument}: expected a function, got ${kindOf(value)}`)
}

/** @throws InvalidArgumentError unless it is one of these. */
export function requireOneOf(argument: string, value: unknown, choices: readonly string[]): void {
  if (choices.some((choice) => choice === value)) return
  const got = typeof value === 'string' ? JSON.stringify(value) : kindOf(value)
  throw new InvalidArgumentError(`Invalid ${argument}: expected one of ${choices.join(', ')}, got ${got}`)
}

/** @throws InvalidArgumentError unless it is undefined or an AbortSignal. */
export function requireSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return
  throw new InvalidArgumentError(`Invalid signal: expected an AbortSignal, got ${kindOf(signal)}`)
}

/** @throws InvalidArgumentError unless it is an object with all of these methods. */
export function requireMethods(argument: string, value: unknown, methods: readonly string[]): void {
  if (typeof value !== 'object' || value === null) {
    throw new InvalidArgumentError(
      `Invalid ${argument}: expected an object with ${methods.join(', ')}, got ${kindOf(value)}`,
    )
  }
  for (const method of methods) {
    requireFunction(`${argument}.${method}`, (value as Record<string, unknown>)[method])
  }
}

/** @throws InvalidArgumentError unless it is an object with none but these keys: a misspelt option must not be ignored. */
export function requireKnownKeys(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new InvalidArgumentError(
      `Invalid ${what.replace(/^the /, '')}: expected an object, got ${kindOf(options)}`,
    )
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new InvalidArgumentError(
        `Unknown option ${JSON.stringify(key)} in ${what}: expected one of ${known.join(', ')}`,
      )
    }
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value
}
