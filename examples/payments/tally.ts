import type { Books } from './invoices.ts'
import type { Provider } from './provider.ts'
import type { Report } from './reports.ts'
import type { TroubleMaker } from './trouble.ts'

/** What is counted while the example runs. */
export class Tally {
  readonly tokens = new Set<number>()
  readonly refused = { database: 0, client: 0 }
  readonly tampering = { tried: 0, refused: 0 }
  /** Lost answers and lost connections, by message. */
  readonly setbacks = new Map<string, number>()

  readonly hear = (report: Report): void => {
    if (report.kind === 'leads') this.tokens.add(report.token)
    if (report.kind === 'refused') this.refused[report.by] += 1
    if (report.kind === 'setback') {
      this.setbacks.set(report.message, (this.setbacks.get(report.message) ?? 0) + 1)
    }
  }
}

export interface Summary {
  readonly lines: readonly string[]
  /** What must not be; empty: all is well. */
  readonly faults: readonly string[]
}

/** What it all came to: a table, and what is wrong with it. */
export function summarise(parts: {
  books: Books
  provider: Provider
  trouble: TroubleMaker
  tally: Tally
  isGuarded: boolean
}): Summary {
  const { books, provider, trouble, tally, isGuarded } = parts
  const numbers = [...books.timesPaid.keys()]
  const charges = numbers.map((number) => provider.chargesOf(number))
  const paid = [...books.timesPaid.values()]
  const count = (list: readonly number[], isSo: (times: number) => boolean) => list.filter(isSo).length
  const twice = count(charges, (times) => times > 1)
  const never = count(charges, (times) => times === 0)
  const paidTwice = count(paid, (times) => times > 1)
  const unpaid = count(paid, (times) => times === 0)
  const { killed, stopped, dropped, held } = trouble.counts
  const { refused, tampering } = tally

  const row = (label: string, value: number | string, note = '') =>
    `  ${label.padEnd(32)}${String(value).padStart(6)}${note && `   ${note}`}`
  const lines = [
    row('invoices', numbers.length),
    row(
      'charged exactly once',
      count(charges, (times) => times === 1),
    ),
    row('charged twice', twice),
    row('never charged', never),
    row(
      'marked paid exactly once',
      count(paid, (times) => times === 1),
    ),
    '',
    row('requests to the provider', provider.requests),
    row('  repeated with the same key', provider.repeated),
    row('  answers lost on the way', provider.answersLost),
    row('leaders killed', killed),
    row('leaders stopped', stopped),
    row('leaders cut off', dropped + held, `${dropped} dropped, ${held} held`),
    row('terms (tokens)', tally.tokens.size),
    row(
      'stale writes refused',
      refused.database + refused.client,
      `${refused.database} by LE001, ${refused.client} by the client`,
    ),
    row('stale writes that came through', books.staleWrites),
    row(
      'other failures, tried again',
      [...tally.setbacks.values()].reduce((sum, times) => sum + times, 0),
    ),
  ]
  if (isGuarded) {
    lines.push(row('writes without a guard refused', tampering.refused, `of ${tampering.tried}`))
  }

  const faults = [
    twice > 0 && `${twice} invoices were charged twice`,
    never > 0 && `${never} invoices were never charged`,
    paidTwice > 0 && `${paidTwice} invoices were marked paid twice`,
    unpaid > 0 && `${unpaid} invoices were not marked paid`,
    books.staleWrites > 0 && `${books.staleWrites} writes of a stale leader came through`,
    tampering.refused < tampering.tried && 'a write without a guard came through',
  ].filter((fault) => fault !== false)
  return { lines, faults }
}
