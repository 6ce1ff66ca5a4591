/** A running PostgreSQL server, however it came about. */
export interface PostgresServer {
  /** For people, such as "embedded PostgreSQL 17.10". */
  readonly description: string
  /** As a superuser where we started the server ourselves, to a database that always exists. */
  readonly connectionString: string
  /** Ends the server if we started it. Calling it again does nothing. */
  stop(): Promise<void>
}

/** Server settings by name, as in postgresql.conf. */
export type ServerSettings = Readonly<Record<string, string | number>>
