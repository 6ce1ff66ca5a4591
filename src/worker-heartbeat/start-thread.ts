/** Starts the thread of the heartbeat, and speaks to it. */
import { existsSync } from 'node:fs'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { InvalidArgumentError } from '../errors.ts'
import type { ThreadSetup } from './messages.ts'
import type { HeartbeatThread } from './worker-heartbeat.ts'

/**
 * Starts it. Neither the thread nor its messages keep the process alive.
 *
 * @throws InvalidArgumentError if the thread's code is not where this package has it. What goes wrong later is told to `onFailed`.
 */
export function startThread(setup: Omit<ThreadSetup, 'news'>): HeartbeatThread {
  const url = threadUrl()
  const { port1: news, port2: theirs } = new MessageChannel()
  const worker = new Worker(url, {
    name: 'pg-elect heartbeat',
    workerData: { ...setup, news: theirs },
    transferList: [theirs],
  })
  let isClosing = false
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))

  return {
    post: (command) => worker.postMessage(command),
    receive: () => receiveMessageOnPort(news)?.message,
    // Only now: a listener has its port keep the process alive.
    onNews(callback) {
      news.on('message', callback)
      news.unref()
    },
    onReport(callback) {
      worker.on('message', callback)
      worker.unref()
    },
    onFailed(callback) {
      let cause: unknown = new Error('it has ended')
      worker.on('error', (error) => {
        cause = error
      })
      // Comes after an error, too.
      worker.once('exit', () => {
        if (!isClosing) callback(cause)
      })
    },
    async close() {
      isClosing = true
      // What waits for it must not be cut short by the end of the process.
      worker.ref()
      worker.postMessage({ kind: 'close' })
      const giveUp = setTimeout(() => void worker.terminate(), 2 * setup.timeoutMs)
      await ended
      clearTimeout(giveUp)
      news.close()
    },
  }
}

function threadUrl(): URL {
  // Beside this file, compiled or, where the platform runs TypeScript by itself, as it is.
  const compiled = new URL('./worker.js', import.meta.url)
  const url = import.meta.url.endsWith('.ts') ? new URL(compiled.href.replace(/js$/, 'ts')) : compiled
  if (url.protocol === 'file:' && existsSync(url)) return url
  throw new InvalidArgumentError(
    "Invalid heartbeat: 'worker' expected the code of the thread, worker-heartbeat/worker.js, beside the package's own, got a build without it: keep pg-elect out of the bundle",
  )
}
