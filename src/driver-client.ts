/** The driver's client as this package uses it: how it is made, how it names what it prepares, and how it is given up. */
import pg from 'pg'
import { InvalidArgumentError } from './errors.ts'

/**
 * A client that has not connected yet.
 *
 * @param option - what the configuration is called, for the error
 * @throws InvalidArgumentError if the driver does not understand the configuration.
 */
export function makeClient(config: pg.ClientConfig, timeoutMs: number, option = 'connection'): pg.Client {
  try {
    return new pg.Client({
      application_name: 'pg-elect',
      keepAlive: true,
      keepAliveInitialDelayMillis: 5000,
      connectionTimeoutMillis: timeoutMs,
      ...config,
      ...({ binary: false } as pg.ClientConfig),
      // Many callers share this connection: they need not wait for each other's round trips.
      pipeline: true,
    })
  } catch {
    // No cause: the driver's error carries the whole connection string, with its password.
    throw new InvalidArgumentError(
      `Invalid ${option}: expected a connection string such as postgres://user@host:5432/database, or the options of a pg Client, got something that the driver cannot read`,
    )
  }
}

/** Statements by their text: a small and fixed number, as values are passed beside them. */
const statementNames = new Map<string, string>()

export function statementName(text: string): string {
  const known = statementNames.get(text)
  if (known !== undefined) return known
  const name = `pg_elect_${statementNames.size}`
  statementNames.set(text, name)
  return name
}

/** SQLSTATE 26000: there is no prepared statement of that name. */
export function saysUnprepared(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '26000'
}

/** SQLSTATE 25006: nothing can be written here. */
export function saysReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '25006'
}

/** Gives a connection up without a goodbye, which a dead peer would never answer. */
export function destroySocket(client: pg.Client): void {
  client.connection.stream.destroy()
}
