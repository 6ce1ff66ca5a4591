import type { ClientConfig } from 'pg'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { InvalidArgumentError } from '../../src/errors.ts'
import { type ConnectionOptions, READING, resolveHosts } from '../../src/hosts.ts'

const SECRET = 'tell-nobody'

/** What the driver makes of each host. */
function seen(config: ConnectionOptions, environment: Record<string, string> = {}) {
  return resolveHosts(config, {}, environment).hosts.map(({ config: one }) => parameters(one))
}

/** The driver's own reading, without the environment of this process. */
function parameters(config: ClientConfig) {
  const { connectionParameters: read } = new pg.Client(config) as unknown as {
    connectionParameters: Record<string, unknown>
  }
  const { host, port, user, password, database, ssl, application_name } = read
  return { host, port, user, password, database, ssl, application_name }
}

function addresses(config: ConnectionOptions, environment: Record<string, string> = {}): string[] {
  return seen(config, environment).map(({ host, port }) => `${host} ${port}`)
}

function failureOf(config: ConnectionOptions, environment: Record<string, string> = {}): Error {
  try {
    resolveHosts(config, {}, environment)
  } catch (error) {
    return error as Error
  }
  throw new Error('expected an error')
}

const url = (connectionString: string): ConnectionOptions => ({ connectionString })

describe('several hosts', () => {
  test.each<[string, ConnectionOptions, Record<string, string>, string[]]>([
    ['in a URL', url('postgres://app@a:1,b:2/db'), {}, ['a 1', 'b 2']],
    ['three', url('postgresql://a:1,b:2,c:3/db'), {}, ['a 1', 'b 2', 'c 3']],
    ['without a database', url('postgres://a:1,b:2'), {}, ['a 1', 'b 2']],
    ['with the port of one left out', url('postgres://a:1,b/db'), {}, ['a 1', 'b 5432']],
    ['with all ports left out', url('postgres://a,b/db'), {}, ['a 5432', 'b 5432']],
    // As in libpq: a list of hosts in a URL has a list of ports, though they be empty.
    ['with ports left out and PGPORT', url('postgres://a,b/db'), { PGPORT: '6000' }, ['a 5432', 'b 5432']],
    ['as parameters', url('postgres:///db?host=a,b&port=1,2'), {}, ['a 1', 'b 2']],
    ['as parameters with one port', url('postgres:///db?host=a,b&port=7'), {}, ['a 7', 'b 7']],
    ['as parameters without ports', url('postgres:///db?host=a,b'), {}, ['a 5432', 'b 5432']],
    ['as parameters and PGPORT', url('postgres:///db?host=a,b'), { PGPORT: '6000' }, ['a 6000', 'b 6000']],
    ['as parameters and PGPORTs', url('postgres:///db?host=a,b'), { PGPORT: '1,2' }, ['a 1', 'b 2']],
    ['as encoded parameters', url('postgres:///db?host=a%2Cb&port=1%2C2'), {}, ['a 1', 'b 2']],
    ['as parameters without a database', url('postgres://?host=a,b&port=1,2'), {}, ['a 1', 'b 2']],
    ['as parameters that go before', url('postgres://x:9,y:8/db?host=a,b&port=1,2'), {}, ['a 1', 'b 2']],
    ['with a port for all as a parameter', url('postgres://a:1,b:2/db?port=9'), {}, ['a 9', 'b 9']],
    ['in brackets', url('postgres://[::1]:1,[fe80::2]/db'), {}, ['::1 1', 'fe80::2 5432']],
    ['in brackets as parameters', url('postgres:///db?host=::1,b&port=1,2'), {}, ['::1 1', 'b 2']],
    ['with a zone', url('postgres://[fe80::1%25eth0]:1,b:2/db'), {}, ['fe80::1%eth0 1', 'b 2']],
    ['with the default among them', url('postgres://a:1,/db'), {}, ['a 1', 'localhost 5432']],
    ['as sockets', url('postgres:///db?host=/run/a,/run/b'), {}, ['/run/a 5432', '/run/b 5432']],
    ['as encoded sockets', url('postgres://%2Frun%2Fa:1,b:2/db'), {}, ['/run/a 1', 'b 2']],
    ['as odd sockets', url('postgres:///db?host=/run/a%26b%20c,d&port=1'), {}, ['/run/a&b c 1', 'd 1']],
    ['as options', { host: 'a,b', port: '1,2' }, {}, ['a 1', 'b 2']],
    ['as options with one port', { host: 'a,b', port: 7 }, {}, ['a 7', 'b 7']],
    ['as options with spaces', { host: 'a, b', port: '1, 2' }, {}, ['a 1', 'b 2']],
    ['as options with a port left out', { host: 'a,b', port: '1,' }, {}, ['a 1', 'b 5432']],
    ['as options without ports', { host: 'a,b' }, {}, ['a 5432', 'b 5432']],
    ['as options and PGPORT', { host: 'a,b' }, { PGPORT: '1,2' }, ['a 1', 'b 2']],
    ['as options that are addresses', { host: '::1,10.0.0.1' }, {}, ['::1 5432', '10.0.0.1 5432']],
    ['as options, all of one name', { host: 'a,a', port: '1,2' }, {}, ['a 1', 'a 2']],
    ['by the environment', {}, { PGHOST: 'a,b', PGPORT: '1,2' }, ['a 1', 'b 2']],
    ['by the environment, with one port', {}, { PGHOST: 'a,b', PGPORT: '7' }, ['a 7', 'b 7']],
    ['by the environment, with a port here', { port: 9 }, { PGHOST: 'a,b', PGPORT: '1,2' }, ['a 9', 'b 9']],
    ['by the environment, for a URL', url('postgres:///db'), { PGHOST: 'a,b' }, ['a 5432', 'b 5432']],
  ])('%s', (_what, config, environment, expected) => {
    expect(addresses(config, environment)).toEqual(expected)
  })

  test('have names for messages, without anything that is secret', () => {
    const config = url(`postgres://app:${SECRET}@a:1,[::1],%2Frun%2Fpg:3/db?password=${SECRET}`)
    expect(resolveHosts(config, {}, {}).hosts.map(({ label }) => label)).toEqual([
      'a:1',
      '[::1]:5432',
      '/run/pg:3',
    ])
  })

  test.each<[string, string, string]>([
    ['plain', 'secret', 'secret'],
    ['with everything encoded', encodeURIComponent('p@s/s:w,o?r#d [%] ü&='), 'p@s/s:w,o?r#d [%] ü&='],
    ['with an @', 'p@ss', 'p@ss'],
    ['with a comma', 'p,w', 'p,w'],
    ['with a comma and an @', 'a@b,c:1', 'a@b,c:1'],
    ['with a colon', 'a:b', 'a:b'],
    ['that is empty', '', ''],
  ])('keep the password of the URL: %s', (_what, written, password) => {
    for (const one of seen(url(`postgres://app:${written}@a:1,b:2/db`))) {
      expect(one).toMatchObject({ user: 'app', password: password === '' ? null : password, database: 'db' })
    }
  })

  test('keep all other parameters of the URL', () => {
    const given = url('postgres://app@a,b/my%20db?application_name=my%20app&sslmode=disable&x=%2C&host=c,d')
    expect(seen(given)).toMatchObject([
      { host: 'c', database: 'my db', application_name: 'my app', ssl: false },
      { host: 'd', database: 'my db', application_name: 'my app', ssl: false },
    ])
    expect(seen(url('postgres://a,b/db?ssl=true'))).toMatchObject([{ ssl: true }, { ssl: true }])
  })

  test('keep all other options', () => {
    const password = () => SECRET
    const ssl = { rejectUnauthorized: false }
    const given = {
      host: 'a,b',
      user: 'me',
      password,
      ssl,
      database: 'db',
      keepAlive: false,
      query_timeout: 5,
    }
    const { hosts } = resolveHosts(given, {}, {})
    expect(hosts.map(({ config }) => config)).toEqual([
      { ...given, host: 'a', port: 5432 },
      { ...given, host: 'b', port: 5432 },
    ])
    const beside = resolveHosts({ ...url('postgres://c,d/db'), ssl, host: 'not this' }, {}, {}).hosts
    expect(beside.map(({ config }) => parameters(config))).toMatchObject([
      { host: 'c', ssl },
      { host: 'd', ssl },
    ])
  })
})

describe('one host', () => {
  test.each<[string, ConnectionOptions]>([
    ['in a URL', url(`postgres://app:${SECRET}@a:1/db?sslmode=disable`)],
    ['by the environment', {}],
    ['as options', { host: 'a', port: 5433 }],
    ['as a socket', url('/run/postgresql db')],
    ['as a socket in a URL', url('socket:/run/postgresql?db=app')],
    ['as a socket in another URL', url('postgres://%2Frun%2Fpostgresql/db')],
    ['as an address', url('postgres://[::1]:5433/db')],
    ['that the driver will refuse', url('postgres://[bad/db')],
    ['with a port that the driver will refuse', url('postgres://a:port/db')],
    ['with a password that should have been encoded', url('postgres://app:x#y@a/db')],
  ])('stays as it was given: %s', (_what, config) => {
    const { hosts, target } = resolveHosts(config, {}, {})
    expect(hosts).toEqual([{ label: '', config }])
    expect(target).toBe('any')
  })
})

describe('target_session_attrs', () => {
  test.each<[string, ConnectionOptions, Record<string, string>, string]>([
    ['one host', url('postgres://a/db'), {}, 'any'],
    ['one host that is told', url('postgres://a/db?target_session_attrs=primary'), {}, 'primary'],
    ['several hosts', url('postgres://a,b/db'), {}, 'read-write'],
    ['several options', { host: 'a,b' }, {}, 'read-write'],
    ['several hosts that are told', url('postgres://a,b/db?target_session_attrs=any'), {}, 'any'],
    ['options', { host: 'a,b', target_session_attrs: 'primary' }, {}, 'primary'],
    ['options beside a URL', { ...url('postgres://a,b/db'), target_session_attrs: 'primary' }, {}, 'primary'],
    [
      'both: the URL wins',
      { ...url('postgres://a,b/db?target_session_attrs=any'), target_session_attrs: 'primary' },
      {},
      'any',
    ],
    ['the environment', { host: 'a,b' }, { PGTARGETSESSIONATTRS: 'any' }, 'any'],
    [
      'the environment, against options',
      { host: 'a', target_session_attrs: 'read-write' },
      { PGTARGETSESSIONATTRS: 'any' },
      'read-write',
    ],
    ['an empty one', { host: 'a,b' }, { PGTARGETSESSIONATTRS: '' }, 'read-write'],
  ])('by %s', (_what, config, environment, expected) => {
    const { target, hosts } = resolveHosts(config, {}, environment)
    expect(target).toBe(expected)
    for (const host of hosts) expect(host.config).not.toHaveProperty('target_session_attrs')
  })

  test.each(['read-only', 'standby', 'prefer-standby'])('%s is for reads only', (wanted) => {
    const config = url(`postgres://app:${SECRET}@a,b/db?target_session_attrs=${wanted}`)
    expect(() => resolveHosts(config, {}, {})).toThrow(
      new InvalidArgumentError(
        `Invalid target_session_attrs in connection: expected one of any, read-write, primary, as leases are written, got ${wanted}`,
      ),
    )
    expect(resolveHosts(config, { allowed: READING }, {}).target).toBe(wanted)
  })

  test('that is none is refused', () => {
    const config = { host: 'a', target_session_attrs: SECRET as 'any' }
    expect(failureOf(config).message).toBe(
      'Invalid target_session_attrs in connection: expected one of any, read-write, primary, got something else',
    )
  })
})

describe('what makes no sense', () => {
  const ports = /^Invalid connection: expected ports from 1 to 65535, got something else$/
  const pairs = (hosts: number, got: number) =>
    new RegExp(
      `expected one port for all hosts, or as many as there are hosts \\(${hosts}\\), got ${got} ports$`,
    )
  const form = /^Invalid connection: expected a URL such as postgres:.*, got /

  test.each<[string, ConnectionOptions, Record<string, string>, RegExp]>([
    ['too many ports', url('postgres:///db?host=a,b&port=1,2,3'), {}, pairs(2, 3)],
    ['too few ports', { host: 'a,b,c', port: '1,2' }, {}, pairs(3, 2)],
    ['ports of one host', { host: 'a', port: '1,2' }, {}, pairs(1, 2)],
    ['ports of one host in a URL', url('postgres://a/db?port=1,2'), {}, pairs(1, 2)],
    ['PGPORTs for one host', { host: 'a' }, { PGPORT: '1,2' }, pairs(1, 2)],
    ['PGPORTs for a URL', url('postgres://a/db'), { PGPORT: '1,2' }, pairs(1, 2)],
    ['a port too large', url('postgres://a:65536,b/db'), {}, ports],
    ['port zero', url('postgres://a:0,b/db'), {}, ports],
    ['a port that is none', url(`postgres://a:${SECRET},b/db`), {}, ports],
    ['a port with more behind it', { host: 'a,b', port: '1x,2' }, {}, ports],
    ['a negative port', { host: 'a,b', port: -1 }, {}, ports],
    ['a PGPORT that is none', { host: 'a,b' }, { PGPORT: SECRET }, ports],
    ['an address without brackets', url('postgres://::1,b/db'), {}, form],
    ['brackets that do not end', url('postgres://[::1,b/db'), {}, form],
    ['brackets that are empty', url('postgres://[],b/db'), {}, form],
    ['more behind brackets', url('postgres://[::1]x,b/db'), {}, form],
    ['a percent sign that encodes nothing', url('postgres://a%zz,b/db'), {}, form],
    ['keywords', url(`host=a,b password=${SECRET}`), {}, form],
    ['one keyword', url('dbname=app'), {}, form],
    ['a password with a slash', url(`postgres://app:1,2/${SECRET}@a,b/db`), {}, form],
  ])('%s', (_what, config, environment, message) => {
    const failure = failureOf(config, environment)
    expect(failure).toBeInstanceOf(InvalidArgumentError)
    expect(failure.message).toMatch(message)
    expect(failure.message).not.toContain(SECRET)
    expect(failure.cause).toBeUndefined()
  })

  test('is told with the option that it came by', () => {
    const config = url('postgres:///db?host=a,b&port=1,2,3')
    expect(() => resolveHosts(config, { option: 'readConnection' }, {})).toThrow(/^Invalid readConnection: /)
  })
})
