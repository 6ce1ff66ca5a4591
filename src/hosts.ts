/**
 * Several hosts in one configuration, as libpq reads them: `postgres://app@a:5432,b:5433/db?target_session_attrs=read-write`. The driver
 * knows one host a client, so each becomes a configuration of its own; which of them to use is decided in `host-round.ts`.
 *
 * No message repeats any part of a connection string: where one is malformed, any part of it can be the password.
 */
import type { ClientConfig } from 'pg'
import { InvalidArgumentError } from './errors.ts'

/** Which servers will do, by libpq's names. */
export type TargetSession = 'any' | 'read-write' | 'primary' | 'read-only' | 'standby' | 'prefer-standby'

/**
 * Where the database is: the options of a pg `Client` or `Pool`, in which several hosts may stand.
 *
 * `host: 'a,b'` with one port for all of them or as many as there are hosts: `port: 5432`, `port: '5432,5433'`.
 */
export interface ConnectionOptions extends Omit<ClientConfig, 'port'> {
  port?: number | string | undefined
  /** Default `read-write` where there are several hosts, else `any`. */
  target_session_attrs?: TargetSession | undefined
}

/** One server to try. */
export interface Host {
  /** Such as `a:5432`, for messages; empty where there is one host only. */
  readonly label: string
  readonly config: ClientConfig
}

/** The servers of one configuration, and which of them will do. */
export interface Hosts {
  readonly hosts: readonly [Host, ...Host[]]
  readonly target: TargetSession
}

/** What connections that write may ask for. */
export const WRITING: readonly TargetSession[] = ['any', 'read-write', 'primary']
/** What connections that only read may ask for. */
export const READING: readonly TargetSession[] = [...WRITING, 'read-only', 'standby', 'prefer-standby']

type Environment = Readonly<Record<string, string | undefined>>

/** What libpq falls back to. */
const PORT_DEFAULT = '5432'
const HOST_DEFAULT = 'localhost'

/**
 * Splits a configuration into one for each host.
 *
 * @param use - `allowed`: which kinds of server may be asked for; `option`: what the configuration is called, for messages
 * @param environment - `PGHOST`, `PGPORT` and `PGTARGETSESSIONATTRS` count where the configuration says nothing
 * @throws InvalidArgumentError if the hosts, ports or the kind of server make no sense.
 */
export function resolveHosts(
  config: ConnectionOptions,
  {
    allowed = WRITING,
    option = 'connection',
  }: { allowed?: readonly TargetSession[] | undefined; option?: string | undefined } = {},
  environment: Environment = process.env,
): Hosts {
  const { target_session_attrs: given, ...rest } = config
  const url = rest.connectionString === undefined ? undefined : readUrl(rest.connectionString, option)
  // The driver, too, lets the string go before what stands beside it, also where the string is silent.
  const named = url ?? { host: textOf(rest.host), port: textOf(rest.port), target: undefined }
  const hostList = named.host || environment.PGHOST || HOST_DEFAULT
  const portList = named.port || environment.PGPORT || ''
  const target = requireTarget(url?.target ?? given ?? environment.PGTARGETSESSIONATTRS, allowed, option)

  const names = hostList.split(',')
  const ports = portList.split(',')
  if (names.length === 1 && ports.length === 1) {
    return { hosts: [{ label: '', config: rest as ClientConfig }], target: target ?? 'any' }
  }
  if (ports.length > 1 && ports.length !== names.length) {
    throw new InvalidArgumentError(
      `Invalid ${option}: expected one port for all hosts, or as many as there are hosts (${names.length}), got ${ports.length} ports`,
    )
  }
  const hosts = names.map((name, place) => {
    const host = name.trim() || HOST_DEFAULT
    const port = requirePort(ports[ports.length === 1 ? 0 : place]?.trim() || PORT_DEFAULT, option)
    const isBare = host.includes(':') && !host.startsWith('/')
    return {
      label: `${isBare ? `[${host}]` : host}:${port}`,
      config:
        url === undefined
          ? ({ ...rest, host, port } as ClientConfig)
          : ({ ...rest, connectionString: url.withHost(host, port) } as ClientConfig),
    }
  })
  return { hosts: hosts as [Host, ...Host[]], target: target ?? 'read-write' }
}

/** What a connection string says of its hosts. */
interface HostsUrl {
  readonly host: string
  readonly port: string
  readonly target: string | undefined
  /** The same string for one of the hosts. */
  withHost(host: string, port: number): string
}

/** Undefined for the driver's other forms, such as `/folder/of/socket database`, which name one host. */
function readUrl(text: string, option: string): HostsUrl | undefined {
  const [, scheme, authority = '', path = '', query = ''] =
    /^([a-z][a-z0-9+.-]*:)\/\/([^/?#]*)([^?#]*)\??([^#]*)/i.exec(text) ?? []
  if (scheme === undefined) {
    // The driver would take the whole of it for the name of a database.
    if (/^\s*\w+\s*=/.test(text)) throw malformed(option, 'the keyword form of libpq')
    return undefined
  }
  if (scheme.toLowerCase() === 'socket:') return undefined
  // Whatever a password holds, the last @ ends it.
  const credentials = authority.slice(0, authority.lastIndexOf('@') + 1)
  const listed = authority.slice(credentials.length)
  const parameters = new URLSearchParams(query)
  const { hosts, ports } = readAuthority(listed, option)
  const host = parameters.get('host') || hosts
  const port = parameters.get('port') || ports
  if (host.includes(',') && credentials === '' && path.includes('@')) {
    throw malformed(
      option,
      'one with an @ behind its hosts: what is special in a password must be percent-encoded',
    )
  }
  return {
    host,
    port,
    target: parameters.get('target_session_attrs') ?? undefined,
    withHost(one, onePort) {
      // Left as they were written: the driver has rules of its own about what is encoded.
      const kept = query
        .split('&')
        .filter((pair) => pair !== '' && !OWN_PARAMETERS.has(pair.split('=')[0] ?? ''))
      const pairs = [...kept, `host=${encodeHost(one)}`, `port=${onePort}`]
      // The driver wants some host here, and then prefers the parameter.
      return `${scheme}//${credentials}${HOST_DEFAULT}${path}?${pairs.join('&')}`
    },
  }
}

const OWN_PARAMETERS = new Set(['host', 'port', 'target_session_attrs'])

/** `a:5432,[::1]`: hosts `a,::1`, ports `5432,`. As in libpq a list has a list of ports, though they be empty. */
function readAuthority(listed: string, option: string): { hosts: string; ports: string } {
  const parts = listed.split(',').map((part) => {
    const match = /^(?:\[([^\][]+)\]|([^:\][]*))(?::([^:]*))?$/.exec(part)
    if (match === null && listed.includes(','))
      throw malformed(option, 'a host that is none: an IPv6 address stands in brackets')
    // A single one that cannot be read is for the driver to refuse.
    const [, bracketed, plain = listed, port = ''] = match ?? []
    return { name: bracketed ?? plain, port }
  })
  const hosts = parts.map(({ name }) => name).join(',')
  return {
    hosts: hosts.includes(',') || /%2c/i.test(hosts) ? decode(hosts, option) : hosts,
    ports: parts.map(({ port }) => port).join(','),
  }
}

function decode(text: string, option: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw malformed(option, 'a host with a percent sign that encodes nothing')
  }
}

/** Only what would be read as something else: see `withHost`. */
function encodeHost(host: string): string {
  return host.replace(/[^\w.:/~-]/g, encodeURIComponent)
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? '' : String(value)
}

function requirePort(text: string, option: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port
  throw new InvalidArgumentError(`Invalid ${option}: expected ports from 1 to 65535, got something else`)
}

function requireTarget(
  value: string | undefined,
  allowed: readonly TargetSession[],
  option: string,
): TargetSession | undefined {
  if (value === undefined || value === '') return undefined
  if ((allowed as readonly string[]).includes(value)) return value as TargetSession
  const isKnown = (READING as readonly string[]).includes(value)
  throw new InvalidArgumentError(
    `Invalid target_session_attrs in ${option}: expected one of ${allowed.join(', ')}${isKnown ? ', as leases are written' : ''}, got ${isKnown ? value : 'something else'}`,
  )
}

function malformed(option: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `Invalid ${option}: expected a URL such as postgres://user@host:5432,other:5432/database, got ${what}`,
  )
}
