/** Rows as the server sends them: 64-bit numbers as text. */

export interface GrantRow {
  granted: boolean | null
  holder: string | null
  token: string | null
  version: string | null
  metadata: object | null
  expires_in_ms: number | null
}

/** Granted or renewed. */
export function grantedRow(token: number, holder = 'me', expiresInMs: number | null = 15_000): GrantRow {
  return {
    granted: true,
    holder,
    token: `${token}`,
    version: `${token}`,
    metadata: null,
    expires_in_ms: expiresInMs,
  }
}

/** Somebody else holds it. */
export function refusedRow(holder: string, expiresInMs: number | null = 15_000): GrantRow {
  return { granted: false, holder, token: '7', version: '7', metadata: null, expires_in_ms: expiresInMs }
}

/** Not held, and nobody else is known to hold it. */
export function vacantRow(): GrantRow {
  return { granted: false, holder: null, token: null, version: null, metadata: null, expires_in_ms: null }
}

/** Another transaction is at the row: neither yes nor no. */
export function busyRow(): GrantRow {
  return { ...vacantRow(), granted: null }
}
