import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'
import { LEASES, Lease, type LeaseName, Session } from './sessions.ts'

/** A session is meant by its place among those opened so far; null: none. */
type Command =
  | {
      readonly kind: 'ask'
      readonly lease: LeaseName
      readonly holder: string
      readonly session: number | null
    }
  | { readonly kind: 'ask all'; readonly holder: string; readonly session: number | null }
  | {
      readonly kind: 'renew lease' | 'beat' | 'release'
      readonly lease: LeaseName
      readonly session: number | null
    }
  | { readonly kind: 'renew' | 'end' | 'run out' | 'clock back'; readonly session: number }
  | { readonly kind: 'force' | 'expire' | 'prove' | 'prove the last'; readonly lease: LeaseName }
  | { readonly kind: 'open' | 'prune' }

const lease = fc.constantFrom(...LEASES)
const holder = fc.constantFrom('a', 'b')
const session = fc.nat({ max: 2 })
const maybe = fc.option(session, { nil: null, freq: 3 })
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<Command>({ kind: 'open' }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('ask' as const), lease, holder, session: maybe }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('ask all' as const), holder, session: maybe }) },
    {
      weight: 7,
      arbitrary: fc.record({
        kind: fc.constantFrom('renew lease' as const, 'beat' as const, 'release' as const),
        lease,
        session: maybe,
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'renew' as const,
          'renew' as const,
          'end' as const,
          'run out' as const,
          'run out' as const,
          'clock back' as const,
          'clock back' as const,
        ),
        session,
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          'force' as const,
          'expire' as const,
          'prove' as const,
          'prove the last' as const,
        ),
        lease,
      }),
    },
    { weight: 1, arbitrary: fc.constant<Command>({ kind: 'prune' }) },
  ),
  // Long ones: it takes some steps until a session has something to lose.
  { minLength: 1, maxLength: 24, size: 'max' },
)

const look = `SELECT jsonb_object_agg(n, jsonb_build_object(
  'holder', (SELECT holder FROM elect.get_lease($name || n)),
  'token', (SELECT token FROM elect.leases WHERE name = $name || n)))
  FROM unnest('{x,y}'::text[]) AS n`

type Stored = Record<LeaseName, { readonly holder: string | null; readonly token: number | null }>

const grantedOf = ({ code, granted }: { code: string; granted?: boolean }) =>
  code === '00000' ? { code, answer: { granted } } : { code, answer: null }

async function check(real: Real, list: Command[]): Promise<void> {
  const leases = Object.fromEntries(LEASES.map((name) => [name, new Lease(name)])) as Record<LeaseName, Lease>
  const sessions: Session[] = []
  let stored = Object.fromEntries(LEASES.map((name) => [name, { holder: null, token: null }])) as Stored
  /** The token of each term, by the key of the lease. */
  const tokens = new Map<string, number>()

  const sessionAt = (place: number | null) =>
    place === null ? null : (sessions[place % Math.max(sessions.length, 1)] ?? null)
  const idOf = (session: Session | null) => (session === null ? 'null' : `'${session.id}'`)
  const tokenOf = ({ key }: Lease) => tokens.get(key) ?? 1

  const renewal = (session: Session) => {
    if (session.state !== 'alive') return { granted: false, lost: [] }
    const lost = [...session.lost].map((key) => [`${real.name}${key.split(' ')[0]}`, tokens.get(key)])
    return { granted: true, lost: lost.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)) }
  }

  const perform = (command: Command): { text: string; answer: object } | undefined => {
    switch (command.kind) {
      case 'open':
        return undefined
      case 'prune':
        // All that has run out has done so long ago, and its rows go: tokens keep growing through it.
        for (const session of sessions) if (session.state === 'over') session.state = 'gone'
        return {
          text: `SELECT elect.prune_leases('30 minutes') >= 0 AS done`,
          answer: { answer: { done: true } },
        }
      case 'ask': {
        const target = leases[command.lease]
        const keeper = sessionAt(command.session)
        return {
          text: `SELECT granted FROM elect.acquire_lease($name || '${target.name}', '${command.holder}', '1 hour', session => ${idOf(keeper)})`,
          answer: grantedOf(target.ask(command.holder, keeper)),
        }
      }
      case 'ask all': {
        const keeper = sessionAt(command.session)
        const text = `SELECT array_agg(granted) AS granted FROM elect.acquire_leases(
          ARRAY[$name || 'x', $name || 'y'], array_fill('${command.holder}'::text, '{2}'), array_fill('1 hour'::interval, '{2}'), session => ${idOf(keeper)})`
        if (keeper !== null && keeper.state !== 'alive') return { text, answer: { code: 'LE004' } }
        const granted = LEASES.map((name) => leases[name].ask(command.holder, keeper).granted)
        return { text, answer: { code: '00000', answer: { granted } } }
      }
      case 'renew lease':
      case 'beat': {
        const target = leases[command.lease]
        const keeper = sessionAt(command.session)
        const call =
          command.kind === 'beat'
            ? `elect.renew_leases(ARRAY[$name || '${target.name}'], ARRAY[${tokenOf(target)}::bigint], '1 hour', ${idOf(keeper)})`
            : `elect.renew_lease($name || '${target.name}', ${tokenOf(target)}, '1 hour', ${idOf(keeper)})`
        // A batch looks at its session first.
        const isRefused = command.kind === 'beat' && keeper !== null && keeper.state !== 'alive'
        const answer = isRefused ? { code: 'LE004', answer: null } : grantedOf(target.renew(keeper))
        return { text: `SELECT granted FROM ${call}`, answer }
      }
      case 'release': {
        const target = leases[command.lease]
        const own = sessionAt(command.session)
        const token = tokenOf(target)
        return {
          text: `SELECT elect.release_lease($name || '${target.name}', ${token}, ${idOf(own)}) AS done`,
          answer: { answer: { done: target.vacate(own) } },
        }
      }
      case 'force': {
        const target = leases[command.lease]
        return {
          text: `SELECT elect.force_release($name || '${target.name}', 'a test') AS done`,
          answer: { answer: { done: target.vacate(null) } },
        }
      }
      case 'expire': {
        const target = leases[command.lease]
        if (target.keeper === null) target.isOver = true
        return { text: `SELECT public.expire_lease($name || '${target.name}')`, answer: { code: '00000' } }
      }
      case 'prove':
      case 'prove the last': {
        const target = leases[command.lease]
        const isLast = command.kind === 'prove the last'
        const token = isLast ? (tokens.get(`${target.name} ${target.term - 1}`) ?? 1) : tokenOf(target)
        return {
          text: `SELECT public.proves($name || '${target.name}', ${token}) AS proof`,
          answer: { answer: { proof: target.isHeld && !isLast ? '00000' : 'LE001' } },
        }
      }
      default: {
        const target = sessionAt(command.session)
        if (target === null) return undefined
        return performOn(target, command.kind)
      }
    }
  }

  const performOn = (target: Session, kind: 'renew' | 'end' | 'run out' | 'clock back') => {
    if (kind === 'renew') return { text: renewalText(target), answer: { answer: renewal(target) } }
    const wasAlive = target.state === 'alive'
    if (kind === 'run out') {
      if (wasAlive) target.state = 'over'
      return { text: `SELECT public.expire_session('${target.id}')`, answer: { code: '00000' } }
    }
    if (kind === 'clock back') {
      // To before its end: what nobody has found over is not.
      if (target.state === 'over') target.state = 'alive'
      return { text: `SELECT public.unexpire_session('${target.id}')`, answer: { code: '00000' } }
    }
    target.state = 'gone'
    return {
      text: `SELECT elect.end_session('${target.id}') AS done`,
      answer: { answer: { done: wasAlive } },
    }
  }

  const renewalText = ({ id }: Session) => `SELECT granted,
    (SELECT coalesce(jsonb_agg(jsonb_build_array(l.name, l.token) ORDER BY l.name, l.token), '[]')
     FROM unnest(lost_names, lost_tokens) AS l (name, token)) AS lost
    FROM elect.renew_session('${id}')`

  const attempt = (text: string) => real.step(`SELECT * FROM public.attempt($attempt$${text}$attempt$)`)

  for (const command of list) {
    if (command.kind === 'open') {
      const { answer } = await real.step(`SELECT elect.open_session('somebody', '1 hour') AS id`)
      sessions.push(new Session(String(answer.id)))
      continue
    }
    const terms = LEASES.map((name) => leases[name].term)
    const expected = perform(command)
    if (expected === undefined) continue
    const seen = await attempt(expected.text)
    expect(seen.answer).toMatchObject(expected.answer)
    const before = stored
    stored = seen.state as Stored
    LEASES.forEach((name, place) => {
      const { isHeld, holder, key, term } = leases[name]
      expect([name, stored[name].holder]).toEqual([name, isHeld ? holder : null])
      if (term === terms[place]) {
        if (command.kind !== 'prune') expect([name, stored[name].token]).toEqual([name, before[name].token])
        return
      }
      expect(stored[name].token).toBeGreaterThan(Math.max(0, ...tokensOf(name)))
      tokens.set(key, Number(stored[name].token))
    })
  }
  // Whatever was taken from a session is told.
  for (const session of sessions) {
    const { answer } = await attempt(renewalText(session))
    expect(answer).toMatchObject({ answer: renewal(session) })
  }

  function tokensOf(name: LeaseName): number[] {
    return [...tokens].filter(([key]) => key.startsWith(`${name} `)).map(([, token]) => token)
  }
}

testModel('leases, some of them kept by sessions', commands, look, check)
