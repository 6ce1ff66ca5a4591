import { fromDriver, type PgElectError } from '../../../src/errors.ts'

/** An error as the driver throws it for one that the server reported. */
export function serverReport(code: string, message = `reported ${code}`, fields: object = {}): Error {
  return Object.assign(new Error(message), { severity: 'ERROR', code, ...fields })
}

/** The same as the connection passes it on. */
export function serverError(code: string, message?: string): PgElectError {
  return fromDriver(serverReport(code, message))
}

/** A connection that broke before the answer came: whether the request took effect is unknown. */
export function connectionLost(): PgElectError {
  return fromDriver(Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' }))
}
