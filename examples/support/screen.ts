import { stripVTControlCharacters, styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]

const ESCAPE = '\x1b['
const BAR_WIDTH = 32

/**
 * Lines that stay, each with its time, and below them, on a terminal, a block that is drawn over and over. Where the output is no
 * terminal (a log, CI) there is no block and nothing but plain text.
 */
export class Screen {
  readonly isLive: boolean
  readonly #stream: NodeJS.WriteStream
  readonly #hasColours: boolean
  readonly #barParts: readonly [full: string, empty: string]
  readonly #startedAtMs = performance.now()
  #block: readonly string[] = []
  #linesDrawn = 0

  constructor(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream
    this.isLive = stream.isTTY === true && environment.TERM !== 'dumb'
    this.#hasColours = this.isLive && !environment.NO_COLOR
    const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG || ''
    this.#barParts = /utf-?8/i.test(locale) ? ['█', '░'] : ['#', '.']
    if (this.isLive) process.once('exit', () => this.close())
  }

  /** Since the start, such as "12.3 s". */
  get elapsed(): string {
    return `${((performance.now() - this.#startedAtMs) / 1000).toFixed(1)} s`
  }

  readonly style = (format: Format, text: string): string =>
    this.#hasColours ? styleText(format, text, { validateStream: false }) : text

  /** A line that stays, with the time. */
  readonly event = (text: string): void =>
    this.line(`${this.style('dim', this.elapsed.padStart(7))}  ${text}`)

  /** A line that stays. */
  readonly line = (text = ''): void => this.#write(`${text}\n`)

  /** From now on the block below the lines looks like this. */
  draw(block: readonly string[]): void {
    if (!this.isLive) return
    this.#block = block
    this.#write('')
  }

  /** A bar that is full to that part. */
  bar(part: number): string {
    const full = Math.round(Math.min(1, Math.max(0, part)) * BAR_WIDTH)
    const [fullPart, emptyPart] = this.#barParts
    const format = part > 0.5 ? 'green' : part > 0.25 ? 'yellow' : 'red'
    return this.style(format, fullPart.repeat(full)) + this.style('dim', emptyPart.repeat(BAR_WIDTH - full))
  }

  /** Takes the block away and gives the terminal back as it was. */
  close(): void {
    if (!this.isLive) return
    this.#block = []
    this.#write('')
  }

  /** All in one piece, or the terminal would show the moments in between. */
  #write(lines: string): void {
    if (!this.isLive) {
      this.#stream.write(lines)
      return
    }
    const columns = this.#stream.columns || 80
    const up = this.#linesDrawn > 0 ? `${ESCAPE}${this.#linesDrawn}A` : ''
    const cleared = (line: string) => `${line}${ESCAPE}K\n`
    // A line that wraps would be two, and the next drawing would begin one line too low.
    const block = this.#block.map((line) => cleared(cut(line, columns - 1)))
    const cursor = `${ESCAPE}?25${block.length > 0 ? 'l' : 'h'}`
    // What stays may be longer than a line: then the rest of the old block must go before, not after.
    const above = lines === '' ? '' : `${ESCAPE}J${lines}`
    this.#stream.write(`${cursor}\r${up}${above}${block.join('')}${ESCAPE}J`)
    this.#linesDrawn = block.length
  }
}

/** A duration for people, such as "2.43 s" or "14 ms". */
export function duration(ms: number, digits = 2): string {
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(digits)} s`
}

/** Cut where it must be, without its colours then. */
function cut(line: string, width: number): string {
  const plain = stripVTControlCharacters(line)
  return plain.length <= width ? line : plain.slice(0, width)
}
