/** Rows as the server sends them: 64-bit numbers as text. */

export interface GrantRow {
  lease: string
  granted: boolean | null
  holder: string | null
  token: string | null
  version: string | null
  metadata: object | null
  expires_in_ms: number | null
  rank: number | null
}

/** Granted or renewed. */
export function grantedRow(token: number, holder = 'me', expiresInMs: number | null = 15_000): GrantRow {
  return {
    lease: 'job',
    granted: true,
    holder,
    token: `${token}`,
    version: `${token}`,
    metadata: null,
    expires_in_ms: expiresInMs,
    rank: null,
  }
}

/** Somebody else holds it. */
export function refusedRow(holder: string, expiresInMs: number | null = 15_000): GrantRow {
  return { ...grantedRow(7, holder, expiresInMs), granted: false }
}

/** Somebody else holds it, and so many go before the one who asks. */
export function waitingRow(rank: number, holder = 'other', expiresInMs: number | null = 15_000): GrantRow {
  return { ...refusedRow(holder, expiresInMs), rank }
}

/** Not held, and nobody else is known to hold it. */
export function vacantRow(rank: number | null = null): GrantRow {
  return {
    lease: 'job',
    granted: false,
    holder: null,
    token: null,
    version: null,
    metadata: null,
    expires_in_ms: null,
    rank,
  }
}

/** Another transaction is at the row: neither yes nor no. */
export function busyRow(): GrantRow {
  return { ...vacantRow(), granted: null }
}
