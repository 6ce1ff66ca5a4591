import { describe, expect, test } from 'vitest'
import {
  type Ending,
  type Grant,
  History,
  type HistoryEvent,
  type Renewal,
  type Row,
  type Trusting,
  type Unsettled,
  type Write,
} from '../faults/support/history.ts'
import { checkHistory } from '../faults/support/history-checker.ts'

const lease = 'checked'
/** Each call takes one millisecond, unless it is told otherwise. */
const call = (holder: string, sentAt: number, answeredAt = sentAt + 1) => ({
  lease,
  holder,
  sentAt,
  answeredAt,
})
const grant = (
  holder: string,
  token: number,
  sentAt: number,
  trustedUntil: number,
  answeredAt?: number,
): Grant => ({
  kind: 'grant',
  token,
  trustedUntil,
  ...call(holder, sentAt, answeredAt),
})
const renewal = (holder: string, token: number, sentAt: number, trustedUntil: number): Renewal => ({
  ...grant(holder, token, sentAt, trustedUntil),
  kind: 'renewal',
})
const trusting = (holder: string, token: number, at: number, until: number): Trusting => ({
  kind: 'trusting',
  lease,
  holder,
  token,
  at,
  until,
})
const ending = (holder: string, token: number, at: number, isRelease = true): Ending => ({
  kind: 'ending',
  lease,
  holder,
  token,
  at,
  isRelease,
})
const write = (
  holder: string,
  token: number,
  sentAt: number,
  outcome: Write['outcome'] = 'committed',
  answeredAt?: number,
): Write => ({
  kind: 'write',
  token,
  outcome,
  id: `${holder} ${sentAt}`,
  ...call(holder, sentAt, answeredAt),
})
const unknown = (holder: string, sentAt: number, asked: Unsettled['asked'] = 'grant'): Unsettled => ({
  kind: 'unknown',
  asked,
  ...call(holder, sentAt),
})
const row = (token: number | null, holder: string | null, sentAt: number): Row => ({
  kind: 'row',
  lease,
  token,
  holder,
  sentAt,
  answeredAt: sentAt + 1,
})
const violationsOf = (...events: HistoryEvent[]) => checkHistory(events).violations

/** Ada is granted, renews, writes and gives back; Bob follows, and is still there at 500. */
const sound: HistoryEvent[] = [
  grant('ada', 1, 100, 200),
  write('ada', 1, 110),
  renewal('ada', 1, 150, 250),
  trusting('ada', 1, 160, 250),
  row(1, 'ada', 170),
  ending('ada', 1, 180),
  row(1, null, 185),
  grant('bob', 2, 190, 500),
  write('bob', 2, 200),
  row(2, 'bob', 300),
]

describe('finds nothing wrong with', () => {
  test('a sound history', () => {
    expect(checkHistory(sound)).toEqual({
      grants: 2,
      renewals: 1,
      writes: 2,
      refused: 0,
      unknown: 0,
      rows: 3,
      violations: [],
    })
  })

  test('the order in which contenders report', () => {
    expect(violationsOf(...sound.toReversed())).toEqual([])
  })

  const good: Record<string, HistoryEvent[]> = {
    'a takeover after the deadline': [grant('ada', 1, 100, 200), grant('bob', 2, 210, 300)],
    'a retry that is told the same token': [grant('ada', 1, 100, 200), grant('ada', 1, 120, 220)],
    'grants that overlap, told in the other order': [
      grant('ada', 2, 100, 150, 148),
      ending('ada', 2, 149),
      grant('bob', 1, 100, 120, 110),
    ],
    'a yes that came after its own deadline': [grant('ada', 1, 100, 200, 250), grant('bob', 2, 210, 400)],
    'one who was told that it is lost before its deadline': [
      grant('ada', 1, 100, 300),
      ending('ada', 1, 150, false),
      grant('bob', 2, 160, 300),
    ],
    'a commit that was under way when the next was granted': [
      grant('ada', 1, 100, 200),
      write('ada', 1, 195, 'committed', 230),
      grant('bob', 2, 210, 300, 229),
    ],
    'stale writes that are refused, or of which nobody knows': [
      ...sound,
      write('ada', 1, 400, 'refused'),
      write('ada', 1, 410, 'unknown'),
    ],
    'a grant that was asked for without an answer': [unknown('ada', 100), row(5, 'ada', 120)],
    'leases that have nothing to do with each other': [
      ...sound,
      { ...grant('ada', 1, 300, 400), lease: 'other' },
      { ...write('ada', 1, 310), lease: 'other' },
    ],
  }
  test.each(Object.entries(good))('%s', (_, events) => expect(violationsOf(...events)).toEqual([]))
})

describe('finds', () => {
  const bad: Record<string, [HistoryEvent[], string]> = {
    'a token that is given twice': [
      [...sound, ending('bob', 2, 310), grant('eve', 2, 320, 400)],
      'token 2 was granted to bob and to eve',
    ],
    'a token that is smaller than one before': [
      [...sound, ending('bob', 2, 310), grant('eve', 1.5, 320, 400)],
      'token 1.5 was granted to eve after 2 had been',
    ],
    'a token that comes back to its holder': [
      [grant('ada', 1, 100, 120), grant('bob', 2, 130, 140), grant('ada', 1, 150, 170)],
      'token 1 was granted to ada after 2 had been',
    ],
    'a renewal of what was granted anew': [
      [grant('ada', 1, 100, 120), grant('bob', 2, 130, 140), renewal('ada', 1, 150, 170)],
      'token 1 of ada was renewed after 2 had been granted',
    ],
    'two who trust at once': [
      [grant('ada', 1, 100, 200), grant('bob', 2, 189, 300)],
      'bob with 2 and ada with 1 both trusted for 10.0 ms',
    ],
    'two who trust at once, by a renewal': [
      [grant('ada', 1, 100, 200), renewal('ada', 1, 150, 250), grant('bob', 2, 209, 300)],
      'bob with 2 and ada with 1 both trusted for 40.0 ms',
    ],
    'two who trust at once, by their own word': [
      [trusting('ada', 1, 150, 250), trusting('bob', 2, 240, 300)],
      'bob with 2 and ada with 1 both trusted for 10.0 ms',
    ],
    'one who trusts all the time while two others come and go': [
      [
        grant('ada', 1, 100, 500),
        ending('bob', 2, 210),
        grant('bob', 2, 200, 300),
        grant('eve', 3, 300, 400),
      ],
      'eve with 3 and ada with 1 both trusted for 99.0 ms',
    ],
    'a release that was not its holder’s': [
      [grant('ada', 1, 100, 200), ending('bob', 1, 150), grant('bob', 2, 160, 300)],
      'bob with 2 and ada with 1 both trusted for 39.0 ms',
    ],
    'one who trusts what it has given back': [
      [...sound, trusting('ada', 1, 400, 450)],
      'ada trusted 1 after it had ended',
    ],
    'a write after a larger token was granted': [
      [...sound, write('ada', 1, 400)],
      'ada wrote with token 1 after 2 had been granted',
    ],
    'a write after a larger token has written, whoever was told of its grant': [
      [
        trusting('ada', 1, 100, 200),
        trusting('bob', 2, 210, 300),
        write('bob', 2, 220),
        write('ada', 1, 230),
      ],
      'ada wrote with token 1 after 2 had written',
    ],
    'a write with a token of somebody else': [
      [...sound, write('eve', 2, 400)],
      'eve wrote with token 2, which it was never granted',
    ],
    'a grant that is lost': [
      [grant('ada', 1, 100, 200), row(null, null, 150)],
      'token 1 was granted, but the row shows nothing',
    ],
    'a later grant that is lost': [[...sound, row(1, null, 310)], 'token 2 was granted, but the row shows 1'],
    'a holder that is lost': [
      [grant('ada', 1, 100, 200), row(1, null, 150)],
      'token 1 is with ada, but the row shows nobody',
    ],
    'a holder who never asked': [
      [...sound, row(7, 'eve', 400)],
      'token 7 is with eve, who never asked for it',
    ],
  }
  test.each(Object.entries(bad))('%s', (_, [events, words]) => {
    expect(violationsOf(...events)).toContain(`${lease}: ${words}`)
    expect(violationsOf(...events.toReversed()).sort()).toEqual(violationsOf(...events).sort())
  })

  test('a stale write of which its writer was not told, once its row is found', () => {
    const history = new History()
    for (const event of [...sound, write('ada', 1, 400, 'unknown')]) history.record(event)
    expect(violationsOf(...history.events)).toEqual([])
    history.foundWrites(new Set(['ada 400']))
    expect(violationsOf(...history.events)).toEqual([
      `${lease}: ada wrote with token 1 after 2 had been granted`,
    ])
  })
})

/** Each single fault, put into a long and sound history at every place, is found at each of them. */
test('one fault among a thousand terms', () => {
  const terms = Array.from({ length: 1000 }, (_, index): [Grant, Renewal, Write, Ending] => {
    const [holder, token, at] = [`holder ${index}`, index + 1, index * 100]
    return [
      grant(holder, token, at, at + 80),
      renewal(holder, token, at + 20, at + 100),
      write(holder, token, at + 50),
      ending(holder, token, at + 90),
    ]
  })
  expect(violationsOf(...terms.flat())).toEqual([])
  for (let index = 0; index < 990; index += 97) {
    const [granted, , written] = terms[index] as [Grant, Renewal, Write, Ending]
    const later = (index + 5) * 100
    const faults: HistoryEvent[] = [
      { ...granted, sentAt: later + 95, answeredAt: later + 96, trustedUntil: later + 99 },
      { ...written, sentAt: later, answeredAt: later + 1 },
      trusting(granted.holder, granted.token, later + 40, later + 45),
      row(granted.token, null, later),
    ]
    for (const fault of faults) expect(violationsOf(...terms.flat(), fault)).not.toEqual([])
  }
})
