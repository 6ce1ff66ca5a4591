/** Apart from all else, since what provides a server takes a while to load, and processes that lead start in great numbers. */
import pg from 'pg'

export async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString })
  client.on('error', () => undefined)
  await client.connect()
  return client
}
