import { describe, expect, test } from 'vitest'
import { Coalescer, type Kind } from '../../src/coalesce.ts'
import { ClosedError, ConnectionError, InvalidArgumentError, neverSent } from '../../src/errors.ts'
import { serverError } from './support/pg-errors.ts'
import { StubClock } from './support/stub-clock.ts'

/** A statement that waits for its answer. */
interface Sent {
  readonly requests: readonly string[]
  readonly isAlone: boolean
  readonly timeoutMs: number | undefined
  readonly sentAtMs: number
  /** Each request is answered by itself, in capitals, unless something else is said for it. */
  answer(but?: Readonly<Record<string, string | undefined | Error>>): void
  fail(error: unknown): void
}

const TIMEOUT_MS = 1000

function setUp(known: (request: string) => string | undefined = () => undefined) {
  const clock = new StubClock()
  const sent: Sent[] = []
  const order: string[] = []
  const send = <T>(
    requests: readonly string[],
    isAlone: boolean,
    timeoutMs: number | undefined,
    toAnswer: (but: Readonly<Record<string, string | undefined | Error>>) => T,
  ) =>
    new Promise<T>((resolve, reject) => {
      order.push(requests.join(' '))
      const sentAtMs = clock.trueMs
      const answer = (but = {}) => resolve(toAnswer(but))
      sent.push({ requests, isAlone, timeoutMs, sentAtMs, answer, fail: reject })
    })
  const kind: Kind<string, string> = {
    one: (request, { timeoutMs }) => send([request], true, timeoutMs, () => request.toUpperCase()),
    many: (requests, { timeoutMs }) =>
      send(requests, false, timeoutMs, (but) =>
        requests.map((request) => {
          const said = request in but ? but[request] : request.toUpperCase()
          if (said === undefined) return undefined
          return () => {
            if (said instanceof Error) throw said
            return said
          }
        }),
      ),
    known,
    beforeSending: () => void order.push('before'),
  }
  const coalescer = new Coalescer(kind, clock)
  const ask = (request: string, timeoutMs = TIMEOUT_MS) =>
    coalescer.ask(request, timeoutMs).then(
      ({ answer }) => answer,
      (error: unknown) => error,
    )
  /** As many statements as there can be at a time, which are not answered yet. */
  const fill = async () => {
    for (const request of ['x', 'y']) {
      void ask(request)
      await clock.settle()
    }
    return sent.splice(0) as [Sent, Sent]
  }
  const statements = () => sent.map(({ requests }) => requests.join(' '))
  return { clock, sent, order, coalescer, ask, fill, statements }
}

describe('a lone call', () => {
  test('is sent in the same turn, as a statement of its own', async () => {
    const { sent, ask } = setUp()
    const asking = ask('a')
    // No macrotask lies between: neither a timer nor a turn of the event loop.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    expect(sent).toMatchObject([{ requests: ['a'], isAlone: true, timeoutMs: TIMEOUT_MS }])
    sent[0]?.answer()
    expect(await asking).toBe('A')
  })

  test('beside another that is under way is not held up by it', async () => {
    const { clock, sent, ask } = setUp()
    void ask('a')
    await clock.settle()
    const second = ask('b')
    await clock.settle()
    expect(sent).toMatchObject([{ requests: ['a'] }, { requests: ['b'], isAlone: true }])
    sent[1]?.answer()
    expect(await second).toBe('B')
  })
})

describe('calls of one moment', () => {
  test('travel together, and each gets its own answer', async () => {
    const { clock, sent, ask } = setUp()
    const asking = ['a', 'b', 'c'].map((request) => ask(request))
    await clock.settle()
    expect(sent).toMatchObject([{ requests: ['a', 'b', 'c'], isAlone: false }])
    sent[0]?.answer({ b: 'other' })
    expect(await Promise.all(asking)).toEqual(['A', 'other', 'C'])
  })

  test('are those too that the answers of one statement set off, however long that takes in its turn', async () => {
    const { clock, sent, statements, ask } = setUp()
    const again = async (request: string, steps: number) => {
      await ask(request)
      for (let step = 0; step < steps; step++) await Promise.resolve()
      return ask(`${request} again`)
    }
    void again('a', 0)
    void again('b', 7)
    await clock.settle()
    sent[0]?.answer()
    await clock.settle()
    expect(statements()).toEqual(['a b', 'a again b again'])
  })

  test('gather while as many statements as may be are under way, and go when one is answered', async () => {
    const { clock, sent, statements, ask, fill } = setUp()
    const [first] = await fill()
    for (const request of ['a', 'b']) {
      void ask(request)
      await clock.settle()
    }
    expect(sent).toEqual([])
    first.answer()
    await clock.settle()
    expect(statements()).toEqual(['a b'])
  })

  test('are no more than 128 in one statement', async () => {
    const { clock, sent, ask } = setUp()
    for (let n = 0; n < 300; n++) void ask(`${n}`)
    await clock.settle()
    expect(sent.map(({ requests }) => requests.length)).toEqual([128, 128])
    sent[0]?.answer()
    await clock.settle()
    expect(sent.map(({ requests }) => requests.length)).toEqual([128, 128, 44])
  })

  test('are answered as of the moment of sending, not of asking, nor of the answer', async () => {
    const { clock, coalescer, sent, fill } = setUp()
    const [first] = await fill()
    const asking = Promise.all(['a', 'b'].map((request) => coalescer.ask(request, TIMEOUT_MS)))
    clock.pass(300)
    const sentAt = clock.now()
    first.answer()
    await clock.settle()
    clock.pass(50)
    sent[0]?.answer()
    expect((await asking).map((answered) => answered.sentAt)).toEqual([sentAt, sentAt])
  })

  test('stay unanswered for no longer than the most impatient of them allows', async () => {
    const { clock, sent, ask } = setUp()
    void ask('a', 900)
    void ask('b', 300)
    await clock.settle()
    expect(sent).toMatchObject([{ timeoutMs: 300 }])
  })
})

describe('an error', () => {
  test('about what was asked has each asked alone: it is that of its caller, and of nobody else', async () => {
    const { clock, sent, statements, ask } = setUp()
    const asking = ['a', 'b', 'c'].map((request) => ask(request))
    await clock.settle()
    clock.pass(10)
    sent[0]?.fail(new InvalidArgumentError('bad b'))
    await clock.settle()
    expect(statements()).toEqual(['a b c', 'a', 'b', 'c'])
    expect(sent.slice(1).map(({ isAlone, sentAtMs }) => [isAlone, sentAtMs])).toEqual([
      [true, 10],
      [true, 10],
      [true, 10],
    ])
    const bad = new InvalidArgumentError('bad b')
    sent[1]?.answer()
    sent[2]?.fail(bad)
    sent[3]?.answer()
    expect(await Promise.all(asking)).toEqual(['A', bad, 'C'])
  })

  test('that it was too much for the server has each asked alone', async () => {
    const { clock, sent, statements, ask } = setUp()
    void ask('a')
    void ask('b')
    await clock.settle()
    sent[0]?.fail(serverError('53200', 'out of shared memory'))
    await clock.settle()
    expect(statements()).toEqual(['a b', 'a', 'b'])
  })

  test.each([
    serverError('57P01', 'terminating connection'),
    new ConnectionError('lost'),
    new ConnectionError('lost', { mayHaveTakenEffect: false }),
    new ClosedError(),
  ])('of the connection is that of all: nothing is asked a second time (%s)', async (error) => {
    const { clock, sent, ask } = setUp()
    const asking = ['a', 'b'].map((request) => ask(request))
    await clock.settle()
    sent[0]?.fail(error)
    expect(await Promise.all(asking)).toEqual([error, error])
    await clock.settle()
    expect(sent).toHaveLength(1)
  })

  test.each([
    [1, new ConnectionError('refused', { mayHaveTakenEffect: false })],
    [2, new ConnectionError('refused', { mayHaveTakenEffect: false })],
    [1, neverSent(serverError('3D000', 'no such database'))],
    [2, neverSent(serverError('28P01', 'wrong password'))],
  ])('of connecting is that of all who wait, too: %i in the statement, %s', async (together, error) => {
    const { clock, sent, ask, fill } = setUp()
    const [first, second] = await fill()
    const early = Array.from({ length: together }, (_, n) => ask(`early ${n}`))
    first.answer()
    await clock.settle()
    const waiting = ['a', 'b'].map((request) => ask(request))
    await clock.settle()
    sent[0]?.fail(error)
    expect(await Promise.all([...early, ...waiting])).toEqual([...early, ...waiting].map(() => error))
    expect(clock.pendingTimers).toBe(0)
    second.answer()
    await clock.settle()
    expect(sent).toHaveLength(1)
  })

  test('of a connection that was lost is not that of those who wait: they are asked for over the next one', async () => {
    const { clock, statements, ask, fill } = setUp()
    const [first] = await fill()
    const waiting = ask('a')
    first.fail(new ConnectionError('lost'))
    await clock.settle()
    expect(statements()).toEqual(['a'])
    expect(await Promise.race([waiting, 'waits'])).toBe('waits')
  })

  test('in one answer is that of its caller', async () => {
    const { clock, sent, ask } = setUp()
    const asking = ['a', 'b'].map((request) => ask(request))
    await clock.settle()
    const unreadable = new RangeError('no integer')
    sent[0]?.answer({ a: unreadable })
    expect(await Promise.all(asking)).toEqual([unreadable, 'B'])
    expect(sent).toHaveLength(1)
  })

  test('leaves room for the next statement', async () => {
    const { clock, statements, ask, fill } = setUp()
    for (const one of await fill()) one.fail(new ConnectionError('lost'))
    await clock.settle()
    void ask('a')
    await clock.settle()
    expect(statements()).toEqual(['a'])
  })
})

test('what a statement of many leaves open is asked alone', async () => {
  const { clock, sent, statements, ask } = setUp()
  const asking = ['a', 'b', 'c'].map((request) => ask(request))
  await clock.settle()
  sent[0]?.answer({ b: undefined })
  await clock.settle()
  expect(statements()).toEqual(['a b c', 'b'])
  sent[1]?.answer()
  expect(await Promise.all(asking)).toEqual(['A', 'B', 'C'])
})

test('what this process knows at the moment of sending is not asked', async () => {
  let isKnown = false
  const { clock, sent, ask, statements } = setUp((request) =>
    isKnown && request === 'b' ? 'known' : undefined,
  )
  const asking = ['a', 'b', 'c'].map((request) => ask(request))
  isKnown = true
  await clock.settle()
  expect(statements()).toEqual(['a c'])
  sent[0]?.answer()
  expect(await Promise.all(asking)).toEqual(['A', 'known', 'C'])
})

test('what must not be overtaken is sent before, whatever is under way', async () => {
  const { clock, order, ask, fill, coalescer, statements } = setUp()
  await fill()
  void ask('a')
  void ask('b')
  coalescer.sendNow()
  await clock.settle()
  expect(statements()).toEqual(['a b'])
  expect(order).toEqual(['before', 'x', 'before', 'y', 'before', 'a b'])
})

describe('whoever waits for too long to be sent', () => {
  test('is told that nothing was done, and is not asked for later', async () => {
    const { clock, statements, ask, fill } = setUp()
    const [first] = await fill()
    const early = ask('a', 200)
    const patient = ask('b', 900)
    await clock.advance(199)
    expect(await Promise.race([early, 'waits'])).toBe('waits')
    await clock.advance(1)
    expect(await early).toMatchObject({ code: 'PG_ELECT_CONNECTION', mayHaveTakenEffect: false })
    expect(await Promise.race([patient, 'waits'])).toBe('waits')
    first.answer()
    await clock.settle()
    expect(statements()).toEqual(['b'])
    expect(clock.pendingTimers).toBe(0)
  })

  test('is told so in its own time, in whichever order they came', async () => {
    const { clock, ask, fill } = setUp()
    await fill()
    const ended: string[] = []
    for (const [request, timeoutMs] of [
      ['a', 700],
      ['b', 300],
      ['c', 500],
    ] as const) {
      void ask(request, timeoutMs).then(() => ended.push(`${request} ${clock.trueMs}`))
    }
    await clock.advance(1000)
    expect(ended).toEqual(['b 300', 'c 500', 'a 700'])
    expect(clock.pendingTimers).toBe(0)
  })

  test('is told so too where more ask at once than can be sent', async () => {
    const { clock, ask } = setUp()
    const asking = Array.from({ length: 1001 }, (_, n) => ask(`${n}`, 400))
    await clock.advance(400)
    expect(await asking.at(-1)).toMatchObject({ mayHaveTakenEffect: false })
  })
})
