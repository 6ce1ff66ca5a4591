import { describe, expect, test } from 'vitest'
import * as errors from '../../src/errors.ts'
import { fromDriver, isTransient, PgElectError } from '../../src/errors.ts'
import * as surface from '../../src/index.ts'
import { connectionLost, serverReport } from './support/pg-errors.ts'

const made: PgElectError[] = [
  new errors.InvalidArgumentError('x'),
  new errors.LeaseLostError('job', 'expired'),
  new errors.ValueMissingError('x'),
  new errors.AcquireTimeoutError('job', 50),
  new errors.BusyError('x'),
  new errors.ConnectionError('x'),
  new errors.AccessDeniedError('x'),
  new errors.SchemaMissingError('x'),
  new errors.SchemaNewerError(2, 1),
  new errors.PoolerError('x'),
  new errors.OperationFailedError('invoice-1', { message: 'declined' }),
  new errors.RolledBackError(),
  new errors.AlreadyCampaigningError('job', 'leader'),
  new errors.ResignedError('job'),
  new errors.NoCandidateError('job', undefined),
  new errors.ClosedError(),
  new errors.ServerError('XX000', 'x'),
]

describe('the errors of this package', () => {
  test('have codes that stay', () => {
    expect(made.map(({ name, code }) => `${name} ${code}`)).toMatchInlineSnapshot(`
      [
        "InvalidArgumentError PG_ELECT_INVALID_ARGUMENT",
        "LeaseLostError PG_ELECT_LEASE_LOST",
        "ValueMissingError PG_ELECT_VALUE_MISSING",
        "AcquireTimeoutError PG_ELECT_TIMEOUT",
        "BusyError PG_ELECT_BUSY",
        "ConnectionError PG_ELECT_CONNECTION",
        "AccessDeniedError PG_ELECT_ACCESS_DENIED",
        "SchemaMissingError PG_ELECT_SCHEMA_MISSING",
        "SchemaNewerError PG_ELECT_SCHEMA_NEWER",
        "PoolerError PG_ELECT_POOLER",
        "OperationFailedError PG_ELECT_OPERATION_FAILED",
        "RolledBackError PG_ELECT_ROLLED_BACK",
        "AlreadyCampaigningError PG_ELECT_ALREADY_CAMPAIGNING",
        "ResignedError PG_ELECT_RESIGNED",
        "NoCandidateError PG_ELECT_NO_CANDIDATE",
        "ClosedError PG_ELECT_CLOSED",
        "ServerError PG_ELECT_SERVER",
      ]
    `)
  })

  test('are all of one class, and all of them are exported', () => {
    const classes = Object.values(errors).filter(
      (value) => value === PgElectError || Object.getPrototypeOf(value) === PgElectError,
    )
    expect(classes).toHaveLength(made.length + 1)
    for (const error of made) expect(error).toBeInstanceOf(PgElectError)
    expect(Object.values(surface)).toEqual(expect.arrayContaining(classes))
  })

  test('say what they are about', () => {
    const messages = Object.fromEntries(made.map(({ name, message }) => [name, message]))
    expect(messages.LeaseLostError).toBe('Lease "job" is not held any more: expired')
    expect(messages.AcquireTimeoutError).toBe('Timed out after 50 ms of waiting for "job"')
    expect(messages.SchemaMissingError).toMatch(/install\(\)/)
    expect(messages.AlreadyCampaigningError).toMatch(/expected a follower, but it is leader/)
    expect(messages.ServerError).toBe('x (SQLSTATE XX000)')
    expect(new errors.LeaseLostError('job', 'expired').leaseName).toBe('job')
  })
})

describe('what the driver throws', () => {
  const table: [sqlState: string, name: string, isTransient: boolean][] = [
    ['LE001', 'LeaseLostError', false],
    ['LE002', 'ValueMissingError', false],
    ['22023', 'InvalidArgumentError', false],
    ['22021', 'InvalidArgumentError', false],
    ['55P03', 'BusyError', true],
    ['42501', 'AccessDeniedError', false],
    ['3F000', 'SchemaMissingError', false],
    ['42883', 'SchemaMissingError', false],
    ['08000', 'ConnectionError', true],
    ['08006', 'ConnectionError', true],
    ['53300', 'ConnectionError', true],
    ['57P01', 'ConnectionError', true],
    ['57P03', 'ConnectionError', true],
    ['28000', 'AccessDeniedError', false],
    ['28P01', 'AccessDeniedError', false],
    ['40001', 'ServerError', true],
    ['40P01', 'ServerError', true],
    ['54000', 'ServerError', true],
    ['25006', 'ServerError', true],
    ['25001', 'ServerError', false],
    ['22001', 'ServerError', false],
    ['42P01', 'ServerError', false],
    ['XX000', 'ServerError', false],
  ]

  test.each(table)('SQLSTATE %s becomes a %s; transient: %s', (sqlState, name, transient) => {
    const report = serverReport(sqlState)
    const error = fromDriver(report)
    expect(error.name).toBe(name)
    expect(error).toBeInstanceOf(PgElectError)
    expect(error.message).toContain(`reported ${sqlState}`)
    expect(error.cause).toBe(report)
    expect(isTransient(error)).toBe(transient)
    expect('sqlState' in error ? error.sqlState : sqlState).toBe(sqlState)
  })

  test('names the lease and the reason that the guard gave', () => {
    const report = serverReport('LE001', 'not held', { detail: 'token 5 was overtaken' })
    expect(fromDriver(report, 'job')).toMatchObject({
      leaseName: 'job',
      message: 'Lease "job" is not held any more: token 5 was overtaken',
    })
    expect(fromDriver(serverReport('LE001', 'not held'), 'job').message).toMatch(/: not held$/)
  })

  test.each([
    [
      'a broken connection',
      Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }),
      'read ECONNRESET',
    ],
    // Five capital letters, as a SQLSTATE has, but no report of a server.
    ['a broken pipe', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }), 'write EPIPE'],
    ['a timeout', new Error('Query read timeout'), 'Query read timeout'],
    ['an error without words', new AggregateError([]), 'AggregateError'],
    ['no error at all', 'boom', 'boom'],
  ])('%s is a lost connection, which may be tried again', (_what, thrown, words) => {
    const error = fromDriver(thrown)
    expect(error).toBeInstanceOf(errors.ConnectionError)
    expect(error.message).toBe(`No answer from the database: ${words}`)
    expect(error.cause).toBe(thrown)
    expect(isTransient(error)).toBe(true)
  })

  test('passes through if it is one of ours', () => {
    for (const error of [...made, connectionLost()]) expect(fromDriver(error)).toBe(error)
  })
})

test('nothing but a fault of the connection or of the load is transient', () => {
  const transient = made.filter(isTransient).map(({ name }) => name)
  expect(transient).toEqual(['BusyError', 'ConnectionError'])
  for (const other of [new Error('x'), new TypeError('x'), 'x', null, undefined]) {
    expect(isTransient(other)).toBe(false)
  }
})
