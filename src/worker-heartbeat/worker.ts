/** What runs in the thread of the heartbeat. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import { ControlConnection } from '../connection.ts'
import type { Logger } from '../logger.ts'
import type { Command, Report, ThreadSetup } from './messages.ts'
import { ThreadHeartbeat } from './thread-heartbeat.ts'

function beat(main: MessagePort, setup: ThreadSetup): void {
  const { connection: config, timeoutMs, retryIntervalMs, ttlMs, hangTimeoutMs, news } = setup
  const report = (message: Report) => main.postMessage(message)
  const at = (level: keyof Logger) => (fields: object, message: string) =>
    report({ kind: 'log', level, fields, message })
  const parts = {
    clock: systemClock,
    random: Math.random,
    logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
  }
  const connection = new ControlConnection(config, { ...parts, timeoutMs, retryIntervalMs, ttlMs })
  const heartbeat = new ThreadHeartbeat({
    ...parts,
    executor: connection,
    hangTimeoutMs,
    // Asks what has to be known of a connection first; a failure is logged, and the first beat tries again.
    connect: () => void connection.isPooled().catch(() => undefined),
    tell: (message) => news.postMessage(message),
    ping: () => report({ kind: 'ping' }),
  })
  connection.on('lost', () => heartbeat.hurry())
  main.on('message', (command: Command) => {
    if (command.kind !== 'close') heartbeat.obey(command)
    else
      void connection.close().then(() => {
        main.close()
        news.close()
      })
  })
}

if (parentPort !== null) beat(parentPort, workerData)
