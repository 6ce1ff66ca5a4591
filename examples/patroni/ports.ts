import { once } from 'node:events'
import { createServer } from 'node:net'

// Below those that systems give to outgoing connections: a server that is down for a while must find its port free when it is back,
// and nobody who knocks there meanwhile may be connected to itself.
const PORT_MIN = 18_000
const PORT_MAX = 31_000
const ATTEMPTS = 500

/** Different ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  for (let attempt = 0; ports.size < count; attempt += 1) {
    if (attempt === ATTEMPTS) throw new Error(`no ${count} free ports from ${PORT_MIN} to ${PORT_MAX}`)
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN))
    if (!ports.has(port) && (await isFree(port))) ports.add(port)
  }
  return [...ports]
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  const listening = once(probe, 'listening').then(
    () => true,
    () => false,
  )
  probe.listen(port, '127.0.0.1')
  if (!(await listening)) return false
  probe.close()
  await once(probe, 'close')
  return true
}
