/** A process that leads when it is told to, until it is killed. */
import { PgElect } from '../../src/index.ts'
import { connect } from '../harness/bench-database.ts'

const [connectionString = '', ttlMs = ''] = process.argv.slice(2)
const elect = new PgElect({ connectionString, ttlMs: Number(ttlMs) })
process.on('message', async () => {
  await elect.election('killed', { takeover: 'connection' }).campaign()
  const session = await connect(connectionString)
  const isBound = "SELECT is_bound FROM elect.leases WHERE name = 'killed'"
  while ((await session.query(isBound)).rows[0]?.is_bound !== true);
  process.send?.('leads')
})
process.send?.('ready')
