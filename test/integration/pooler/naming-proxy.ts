import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

const HEADER_BYTES = 5

/**
 * A pooler that names the right process to its clients, by accident: PgBouncer, with what it says of the session's process replaced.
 *
 * @returns its connection string.
 */
export async function nameProcess(connectionString: string, backend: number): Promise<string> {
  const url = new URL(connectionString)
  const pooler = { host: url.hostname, port: Number(url.port) }
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(pooler)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
    near.pipe(far)
    let unsent = Buffer.alloc(0)
    let isNamed = false
    far.on('data', (chunk) => {
      if (isNamed) return void near.write(chunk)
      unsent = Buffer.concat([unsent, chunk])
      while (!isNamed && unsent.length >= HEADER_BYTES && unsent.length > unsent.readInt32BE(1)) {
        const message = unsent.subarray(0, 1 + unsent.readInt32BE(1))
        unsent = unsent.subarray(message.length)
        // BackendKeyData
        isNamed = message.toString('latin1', 0, 1) === 'K'
        if (isNamed) message.writeInt32BE(backend, HEADER_BYTES)
        near.write(message)
      }
      if (isNamed) near.write(unsent)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return url.href
}
