import { describe, expect, test } from 'vitest'
import {
  LABEL_BYTES_MAX,
  requireCount,
  requireFunction,
  requireKnownKeys,
  requireMetadata,
  requireName,
  requireOneOf,
  requirePriority,
  requireText,
  requireValue,
  requireVersion,
} from '../../src/arguments.ts'
import { InvalidArgumentError } from '../../src/errors.ts'
import { makeHolder } from '../../src/holder.ts'

/** Takes two bytes. */
const UMLAUT = 'ä'

const circular: { [key: string]: unknown } = {}
circular.itself = circular

const refused: [what: string, check: () => void, message: RegExp][] = [
  ['an empty name', () => requireName(''), /^Invalid name: expected text of 1 to 200 bytes, got 0 bytes$/],
  ['a name that is too long, in bytes', () => requireName(UMLAUT.repeat(101)), /got 202 bytes$/],
  ['a NUL in a name', () => requireName('a\0b'), /expected .* without NUL, got NUL at 1$/],
  ['a high surrogate alone', () => requireName('a\ud800'), /of whole characters, got a lone surrogate$/],
  ['a low surrogate alone', () => requireName('\udc00a'), /got a lone surrogate$/],
  ['surrogates the wrong way round', () => requireName('\udc00\ud800'), /got a lone surrogate$/],
  ['a name that is undefined', () => requireName(undefined), /got undefined$/],
  ['a name that is null', () => requireName(null), /got null$/],
  ['a name that is a number', () => requireName(5), /got number$/],
  ['a name that is an array', () => requireName(['x']), /got an array$/],
  ['a name that is a boxed text', () => requireName(Object('x')), /got object$/],
  [
    'a value that is too long',
    () => requireValue('next', 'x'.repeat(501)),
    /^Invalid next: .* 1 to 500 bytes, got 501/,
  ],
  ['a NUL in a value', () => requireValue('current', '\0'), /^Invalid current: .* got NUL at 0$/],
  ['half a character in a value', () => requireValue('next', '\ud800'), /got a lone surrogate$/],
  ['an undefined value', () => requireValue('next', undefined), /got undefined$/],
  ['a value that is a number', () => requireValue('next', 1), /got number$/],
  [
    'a text that is too long',
    () => requireText('holder', 'abc', 2),
    /^Invalid holder: .* 1 to 2 bytes, got 3 bytes$/,
  ],
  ['metadata that is null', () => requireMetadata(null), /^Invalid metadata: .* got null$/],
  ['metadata that is text', () => requireMetadata('x'), /got string$/],
  ['metadata that is an array', () => requireMetadata([]), /got an array$/],
  [
    'metadata that is too long',
    () => requireMetadata({ a: 'x'.repeat(4089) }),
    /at most 4096 bytes .* got 4097 bytes$/,
  ],
  [
    'metadata that is too long, in bytes',
    () => requireMetadata({ a: UMLAUT.repeat(2045) }),
    /got 4098 bytes$/,
  ],
  ['metadata that goes round', () => requireMetadata(circular), /got one that JSON cannot express$/],
  ['metadata with a bigint', () => requireMetadata({ a: 1n }), /got one that JSON cannot express$/],
  [
    'a NUL in metadata',
    () => requireMetadata({ a: ['x\0'] }),
    /without NUL and lone surrogates, got NUL in a string$/,
  ],
  ['a NUL in a key of metadata', () => requireMetadata({ '\0': 1 }), /without NUL/],
  [
    'a negative version',
    () => requireVersion(-1),
    /^Invalid version: expected a whole number from 0 on, got -1$/,
  ],
  ['half a version', () => requireVersion(1.5), /got 1.5$/],
  ['a version that is not a number', () => requireVersion(Number.NaN), /got NaN$/],
  ['an infinite version', () => requireVersion(Number.POSITIVE_INFINITY), /got Infinity$/],
  ['a version beyond exact numbers', () => requireVersion(2 ** 53), /got 9007199254740992$/],
  ['a version that is text', () => requireVersion('1'), /got string$/],
  ['a version that is null', () => requireVersion(null), /got null$/],
  [
    'a priority that is too large',
    () => requirePriority(2 ** 31),
    /^Invalid priority: expected a whole number from -2147483647 to 2147483647, got 2147483648$/,
  ],
  ['a priority that is too small', () => requirePriority(-(2 ** 31)), /got -2147483648$/],
  ['half a priority', () => requirePriority(0.5), /got 0.5$/],
  ['a priority that is not a number', () => requirePriority(Number.NaN), /got NaN$/],
  ['an infinite priority', () => requirePriority(Number.NEGATIVE_INFINITY), /got -Infinity$/],
  ['a priority that is text', () => requirePriority('high'), /got string$/],
  ['a priority that is null', () => requirePriority(null), /got null$/],
  [
    'a count below the least',
    () => requireCount('permits', 0, 1, 100),
    /^Invalid permits: expected a whole number from 1 to 100, got 0$/,
  ],
  ['a count above the most', () => requireCount('permits', 101, 1, 100), /got 101$/],
  ['a count that is not whole', () => requireCount('permits', 1.000001, 1, 100), /got 1.000001$/],
  ['a count that is text', () => requireCount('permits', '5', 1, 100), /got string$/],
  ['a count that is a bigint', () => requireCount('permits', 5n, 1, 100), /got bigint$/],
  ['a count that is undefined', () => requireCount('permits', undefined, 1, 100), /got undefined$/],
  [
    'a word that is no choice',
    () => requireOneOf('takeover', 'never', ['expiry', 'connection']),
    /^Invalid takeover: expected one of expiry, connection, got "never"$/,
  ],
  ['a choice that is none', () => requireOneOf('takeover', null, ['expiry']), /got null$/],
  [
    'work that is no function',
    () => requireFunction('work', {}),
    /^Invalid work: expected a function, got object$/,
  ],
  ['no work', () => requireFunction('work', undefined), /got undefined$/],
  [
    'an unknown option',
    () => requireKnownKeys('the options', { ttl: 5 }, ['ttlMs', 'signal']),
    /^Unknown option "ttl" in the options: expected one of ttlMs, signal$/,
  ],
  [
    'an option of the prototype',
    () => requireKnownKeys('x', { toString: 1 }, ['a']),
    /^Unknown option "toString"/,
  ],
  [
    'options that are null',
    () => requireKnownKeys('the options', null, []),
    /^Invalid options: .* got null$/,
  ],
  [
    'options that are text',
    () => requireKnownKeys('x', 'postgres://me:hunter2@db', []),
    /object, got string$/,
  ],
  ['options that are an array', () => requireKnownKeys('x', [], []), /object, got an array$/],
]

describe('bad input', () => {
  test.each(refused)('%s is refused, with what was expected and what came', (_what, check, message) => {
    let thrown: unknown
    try {
      check()
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(InvalidArgumentError)
    expect(thrown).toMatchObject({
      code: 'PG_ELECT_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    })
  })
})

// Each of these comes back as an error of another kind, from here or from the server.
test.each<[what: string, metadata: object]>([
  ['half a character, which the server does not take', { a: '\ud800' }],
  ['an object that has no JSON', { toJSON: () => undefined }],
  ['an object of which the JSON is text', { toJSON: () => 'text' }],
])('metadata with %s is refused as a bad argument', (_what, metadata) => {
  expect(() => requireMetadata(metadata)).toThrow(InvalidArgumentError)
})

// The six characters \u0000 are not a NUL: in JSON their backslash is doubled.
test('metadata with the text \\u0000 in it is accepted', () => {
  expect(() => requireMetadata({ pattern: '\\u0000' })).not.toThrow()
})

const accepted: [what: string, check: () => void][] = [
  ['a name of 200 bytes', () => requireName(UMLAUT.repeat(100))],
  ['a name with a character of two surrogates', () => requireName('job 🗳')],
  ['an empty value', () => requireValue('next', '')],
  ['a value of null', () => requireValue('next', null)],
  ['a value of 500 bytes', () => requireValue('next', 'x'.repeat(500))],
  ['no metadata', () => requireMetadata(undefined)],
  ['metadata of 4096 bytes', () => requireMetadata({ a: 'x'.repeat(4088) })],
  ['version 0', () => requireVersion(0)],
  ['the largest version', () => requireVersion(Number.MAX_SAFE_INTEGER)],
  ['priority 0', () => requirePriority(0)],
  ['the largest priority', () => requirePriority(2 ** 31 - 1)],
  ['the smallest priority', () => requirePriority(1 - 2 ** 31)],
  ['the least count', () => requireCount('permits', 1, 1, 100)],
  ['the largest count', () => requireCount('permits', 100, 1, 100)],
  ['a choice', () => requireOneOf('x', 'b', ['a', 'b'])],
  ['a function', () => requireFunction('work', () => {})],
  ['known options', () => requireKnownKeys('x', { a: 1 }, ['a', 'b'])],
  ['no options', () => requireKnownKeys('x', {}, [])],
]

test.each(accepted)('%s is accepted', (_what, check) => {
  expect(check).not.toThrow()
})

describe('the name of a contender', () => {
  test('is another one each time, also under the same label', () => {
    const holders = new Set(Array.from({ length: 1000 }, () => makeHolder('worker')))
    expect(holders.size).toBe(1000)
    for (const holder of holders) expect(holder).toMatch(/^worker:[\w-]{8}$/)
  })

  test('fits what the database takes under the longest label', () => {
    expect(Buffer.byteLength(makeHolder('x'.repeat(LABEL_BYTES_MAX)))).toBe(500)
  })

  test('tells the process unless it is given', () => {
    expect(makeHolder()).toContain(`:${process.pid}:`)
  })
})
