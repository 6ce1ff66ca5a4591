/**
 * A server whose clock can be set and made to run faster or slower while it runs, by libfaketime. All else on the machine keeps the right
 * time.
 */
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { embeddedBinariesFolder } from '../../support/postgres/binaries.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../support/postgres/embedded.ts'
import { installSchema } from '../../support/postgres/install.ts'

/**
 * How far the server's clock is behind ours when nothing has been set. Inside of a signal handler that interrupts a wait libfaketime shows
 * the real time: were that the earlier one, the server would take none of its own timeouts for due.
 */
const BEHIND_MS = 100 * 24 * 60 * 60 * 1000

/** Where Debian and its like install it; undefined: nowhere. */
export async function findLibfaketime(): Promise<string | undefined> {
  const folders = await readdir('/usr/lib').catch(() => [])
  return ['', ...folders]
    .map((folder) => join('/usr/lib', folder, 'faketime', 'libfaketime.so.1'))
    .find((path) => existsSync(path))
}

export class FakeClockServer implements AsyncDisposable {
  readonly #server: EmbeddedPostgres
  readonly #folder: string
  #startedAtMs = 0
  #shiftMs = -BEHIND_MS
  #rate = 1
  #setAtMs = 0

  private constructor(server: EmbeddedPostgres, folder: string) {
    this.#server = server
    this.#folder = folder
  }

  /** With the schema installed. */
  static async start(library: string): Promise<FakeClockServer> {
    const folder = await mkdtemp('/tmp/pge-clock-')
    // The server runs under another account.
    await chmod(folder, 0o755)
    await writeSetting(folder, -BEHIND_MS, 1)
    const server = await startEmbeddedPostgres({
      binariesFolder: process.env.PG_ELECT_TEST_BINARIES || embeddedBinariesFolder(),
      environment: {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: join(folder, 'clock'),
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DISABLE_SHM: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    })
    const clock = new FakeClockServer(server, folder)
    try {
      await installSchema(server.connectionString)
      await clock.#calibrate()
    } catch (error) {
      await clock[Symbol.asyncDispose]()
      throw error
    }
    return clock
  }

  get connectionString(): string {
    return this.#server.connectionString
  }

  /** Sets the clock forward, or back where negative. */
  async step(byMs: number): Promise<void> {
    await this.#set(this.#shiftNow() + byMs, this.#rate)
  }

  /** From now on it runs at this multiple of the right rate. */
  async run(rate: number): Promise<void> {
    await this.#set(this.#shiftNow(), rate)
  }

  /**
   * How often the server has started anew because one of its processes had crashed. The library opens a file each time it is asked for the
   * time, in signal handlers too, where that is not safe.
   */
  async crashes(): Promise<number> {
    const log = await readFile(join(this.#server.folder, 'log'), 'utf8')
    return log.match(/was terminated by signal/g)?.length ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** What the server's clock shows beyond the right time. */
  #shiftNow(): number {
    return this.#shiftMs + (Date.now() - this.#setAtMs) * (this.#rate - 1)
  }

  async #set(shiftMs: number, rate: number): Promise<void> {
    this.#setAtMs = Date.now()
    this.#shiftMs = shiftMs
    this.#rate = rate
    // It applies a rate to all the time since the server was started.
    await writeSetting(this.#folder, shiftMs - (this.#setAtMs - this.#startedAtMs) * (rate - 1), rate)
  }

  /** Finds out from when on the library counts. */
  async #calibrate(): Promise<void> {
    const session = new pg.Client({ connectionString: this.connectionString })
    await session.connect()
    const shift = async () => {
      const { rows } = await session.query<{ ms: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms',
      )
      return (rows[0]?.ms ?? Number.NaN) - Date.now()
    }
    await writeSetting(this.#folder, -BEHIND_MS, 2)
    const twice = await shift()
    this.#startedAtMs = Date.now() - (twice + BEHIND_MS)
    await this.#set(-BEHIND_MS, 1)
    const off = (await shift()) + BEHIND_MS
    await session.end()
    if (!(Math.abs(off) < 1_000)) throw new Error(`the server's clock cannot be set: it is ${off} ms off`)
  }
}

async function writeSetting(folder: string, offsetMs: number, rate: number): Promise<void> {
  const next = join(folder, 'next')
  await writeFile(next, `${offsetMs < 0 ? '' : '+'}${(offsetMs / 1000).toFixed(3)} x${rate}\n`)
  await chmod(next, 0o644)
  // Nobody ever reads half of it.
  await rename(next, join(folder, 'clock'))
}
