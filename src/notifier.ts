/**
 * LISTEN: wakes whoever watches a lease when the database says that it changed.
 *
 * A wake-up says "look", no more: anybody can send a notification, and those sent while the connection is down are lost. So a
 * watcher is woken, too, each time that its LISTEN has come into force, and then reads what it may have missed.
 *
 * Behind a connection pooler a LISTEN reaches nobody, or somebody else who was lent the same session: none is sent, and whoever watches is
 * woken at intervals instead. So it is while a connection that is there for LISTEN alone cannot be had.
 */
import type { Clock, Timer } from './clock.ts'
import { jittered, type Random } from './jitter.ts'
import { listenHere } from './line-queries.ts'
import { ListenCheck } from './listen-check.ts'
import { describeError, type Logger } from './logger.ts'
import { type Executor, listen, unlisten } from './queries.ts'
import { Wakeup } from './wakeup.ts'

/** What the notifier needs of a connection. */
export interface NotifyingConnection extends Executor {
  on(event: 'notified', listener: (channel: string, message: string) => void): unknown
  on(event: 'lost', listener: () => void): unknown
  /** Whether something between here and the server may give one session to several clients. */
  isPooled(): Promise<boolean>
}

/** Called with what was told; without, when listening has begun and something may have been missed. */
export type Wake = (message?: string) => void

interface Watched {
  readonly wakes: Set<Wake>
  /** Undefined until the session at hand listens to it. */
  channel: string | undefined
}

interface NotifierDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly retryIntervalMs: number
  /** How often watchers are woken where nothing can be heard. */
  readonly pollIntervalMs: number
  /** The connection is there for LISTEN alone: what is asked, is asked on another one. Default false. */
  readonly isSeparate?: boolean
  /** How often to look whether the session still listens, and how long that may take; undefined: never. */
  readonly check?: { readonly intervalMs: number; readonly timeoutMs: number }
}

/** Stands for the session's own channel where else a lease's name stands, which is never empty. */
const SESSION = ''

/** A failed LISTEN is tried again after twice the time, up to this many times the retry interval. */
const BACKOFF_FACTOR_MAX = 16

export class Notifier {
  readonly #connection: NotifyingConnection
  readonly #dependencies: NotifierDependencies
  readonly #watched = new Map<string, Watched>()
  readonly #closing: Wakeup
  #listening = false
  #closed = false
  /** The session that hears what is told on its own channel. */
  #backend: number | undefined
  /** Nothing is heard, though what is asked is answered. */
  #isDeaf = false
  #isPoolerTold = false
  #poll: Timer | undefined
  readonly #check: ListenCheck | undefined

  constructor(connection: NotifyingConnection, dependencies: NotifierDependencies) {
    this.#connection = connection
    this.#dependencies = dependencies
    this.#closing = new Wakeup(dependencies.clock)
    const { check } = dependencies
    if (check !== undefined) this.#check = new ListenCheck(connection, this, { ...dependencies, ...check })
    connection.on('notified', (channel, message) => this.#wakeChannel(channel, message))
    connection.on('lost', () => {
      for (const watched of this.#watched.values()) watched.channel = undefined
      if (dependencies.isSeparate) this.#isDeaf = true
      this.#pollWhereDeaf()
      // All listeners of a server that restarts would come back in the same instant.
      this.#listenToAll(dependencies.random() * dependencies.retryIntervalMs)
    })
  }

  /**
   * Has `wake` called when the lease may have changed: at each notification, and each time that listening begins (again).
   *
   * @returns ends the watch.
   */
  watch(name: string, wake: Wake): () => void {
    const watched = this.#watched.get(name) ?? { wakes: new Set(), channel: undefined }
    this.#watched.set(name, watched)
    watched.wakes.add(wake)
    if (watched.channel === undefined) this.#listenToAll()
    else wake()
    this.#pollWhereDeaf()
    return () => this.#unwatch(name, watched, wake)
  }

  /** As {@link watch}, for what is told to this session alone: hand-offs to candidates that it stands in line for. Goes on for good. */
  watchSession(wake: Wake): void {
    this.watch(SESSION, wake)
  }

  /** Whether the session's own channel is listened to now. */
  get hearsSession(): boolean {
    return this.#watched.get(SESSION)?.channel !== undefined
  }

  /** The session in which it is listened to, if that is not the one that asks; undefined: that one, or none. */
  get backend(): number | undefined {
    return this.#dependencies.isSeparate && this.hearsSession ? this.#backend : undefined
  }

  /**
   * By which to look at what is watched: the one that looks are asked by. If that is the session that listens, a look tells now and then
   * whether it still does, and nothing has to be asked for that alone.
   */
  lookingBy(executor: Executor): Executor {
    return this.#dependencies.isSeparate ? executor : (this.#check?.along ?? executor)
  }

  /** What the session at hand is believed to listen to. */
  get channels(): string[] {
    return [...this.#watched.values()].flatMap(({ channel }) => channel ?? [])
  }

  /** The session does not listen to these, whatever it was told: it does so again, and whoever watches looks what it has missed. */
  missed(channels: readonly string[]): void {
    const deaf = [...this.#watched.values()].filter(
      ({ channel }) => channel !== undefined && channels.includes(channel),
    )
    if (deaf.length === 0) return
    this.#dependencies.logger.info(
      { leases: deaf.length },
      'the server has stopped listening, listening again',
    )
    for (const watched of deaf) watched.channel = undefined
    this.#listenToAll()
  }

  /** Stops listening for good. */
  close(): void {
    this.#closed = true
    this.#check?.stop()
    this.#watched.clear()
    this.#closing.wake()
    this.#pollWhereDeaf()
  }

  #unwatch(name: string, watched: Watched, wake: Wake): void {
    watched.wakes.delete(wake)
    if (watched.wakes.size > 0 || this.#watched.get(name) !== watched) return
    this.#watched.delete(name)
    this.#pollWhereDeaf()
    if (watched.channel === undefined) return
    // If it fails, the session is gone, and the LISTEN with it.
    unlisten(this.#connection, [name]).catch(() => undefined)
  }

  #wakeChannel(channel: string, message: string): void {
    for (const watched of this.#watched.values()) {
      if (watched.channel === channel) wakeAll(watched, message)
    }
  }

  #listenToAll(delayMs = 0): void {
    if (!this.#listening) void this.#listenUntilDone(delayMs)
  }

  async #listenUntilDone(delayMs: number): Promise<void> {
    const { random, logger, retryIntervalMs } = this.#dependencies
    this.#listening = true
    if (delayMs > 0) await this.#closing.wait(delayMs)
    for (let backoff = 1; ; backoff = Math.min(backoff * 2, BACKOFF_FACTOR_MAX)) {
      const unheard = this.#unheard.map(([name]) => name)
      if (unheard.length === 0 || this.#closed) break
      const names = unheard.filter((name) => name !== SESSION)
      try {
        if (await this.#connection.isPooled()) {
          this.#foundPooler()
          break
        }
        if (unheard.includes(SESSION)) {
          const { channel, backend } = await listenHere(this.#connection)
          this.#backend = backend
          this.#listensTo(SESSION, channel)
        }
        if (names.length > 0) {
          for (const { name, channel } of await listen(this.#connection, names))
            this.#listensTo(name, channel)
        }
        backoff = 1
        this.#isDeaf = false
        this.#pollWhereDeaf()
      } catch (error) {
        if (this.#closed) break
        if (this.#dependencies.isSeparate) this.#isDeaf = true
        this.#pollWhereDeaf()
        logger.info({ error: describeError(error) }, 'cannot listen for changes now, trying again')
        await this.#closing.wait(jittered(retryIntervalMs * backoff, random, 0.5))
      }
    }
    // In the same turn as the last look, so that a watch that comes next starts anew.
    this.#listening = false
  }

  /** Until this session is lost: the next one may be another matter. */
  #foundPooler(): void {
    const { logger, isSeparate } = this.#dependencies
    this.#isDeaf = true
    this.#pollWhereDeaf()
    if (this.#isPoolerTold) return
    this.#isPoolerTold = true
    if (isSeparate) {
      logger.warn(
        {},
        'listenConnectionString leads to a connection pooler, too: nothing can be heard there, so changes are looked for at intervals',
      )
    } else {
      logger.info(
        {},
        'a connection pooler is in between: changes are looked for at intervals. To hear of them at once, give listenConnectionString, which leads to the server directly',
      )
    }
  }

  get #unheard(): [name: string, watched: Watched][] {
    return [...this.#watched].filter(([, { channel }]) => channel === undefined)
  }

  /** Wakes those who hear nothing, again and again; stops where there are none. */
  #pollWhereDeaf(): void {
    const { clock, random, pollIntervalMs } = this.#dependencies
    // Not those who wait in line: they look by themselves, and more often.
    const isNeeded = this.#isDeaf && this.#unheard.some(([name]) => name !== SESSION)
    if (!isNeeded) this.#poll?.cancel()
    if (!isNeeded) this.#poll = undefined
    else this.#poll ??= clock.setTimer(() => this.#wakeUnheard(), jittered(pollIntervalMs, random))
  }

  #wakeUnheard(): void {
    this.#poll = undefined
    for (const [name, watched] of this.#unheard) {
      if (name !== SESSION) wakeAll(watched)
    }
    this.#pollWhereDeaf()
  }

  #listensTo(name: string, channel: string): void {
    const watched = this.#watched.get(name)
    if (watched === undefined) {
      // The session's own channel goes by closing only, and has no name that the server knows.
      if (name === SESSION) return
      unlisten(this.#connection, [name]).catch(() => undefined)
      return
    }
    watched.channel = channel
    this.#check?.begin()
    wakeAll(watched)
  }
}

function wakeAll(watched: Watched, message?: string): void {
  for (const wake of watched.wakes) wake(message)
}
