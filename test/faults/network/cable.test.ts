/** A leader in a network of its own whose cable is pulled: as far as the kernel goes, this is no model. CABLES: how often. */
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PgElect } from '../../../src/index.ts'
import { Contender } from '../../integration/client/processes.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { silent } from '../primitives/uses.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { Longest } from '../support/longest.ts'
import { scaled, timeoutFor } from '../support/scale.ts'
import { Cable } from './cable.ts'

const TTL_MS = 1_500
const script = fileURLToPath(new URL('../../integration/client/contender.ts', import.meta.url))
const pulls = scaled(3, 'CABLES')

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test(
  `a leader whose cable is pulled has stopped when another leads, and leads again once it is back, CABLES=${pulls}`,
  timeoutFor(pulls, 6 * TTL_MS),
  async ({ skip }) => {
    await using cable = await Cable.lay()
    if (cable === undefined) {
      // The reporter does not show why a test was skipped.
      console.log('skipped: no network namespaces')
      return skip('skipped: no network namespaces')
    }
    const { connectionString } = database
    // Only carries what comes by the cable on to the server, which listens at home.
    await using relay = await FaultProxy.to(connectionString, 0, cable.host)
    await using other = new PgElect({ connectionString, ttlMs: TTL_MS, logger: silent })
    const args = [relay.through(connectionString), 'cable', String(TTL_MS), 'expiry']
    const leader = new Contender(cable.fork(script, args))
    const longest = new Longest()
    try {
      await leader.reported('ready')
      leader.tell('lead')
      let reports = 0
      for (let pull = 0; pull < pulls; pull++) {
        const { token } = await leader.reported('working', reports)
        reports = leader.reports.length
        const succession = other.election('cable').campaign()
        await cable.pull()
        const startMs = performance.now()
        const stopped = leader.reported('stopped', reports).then((report) => {
          longest.see({ 'old leader stopped': performance.now() - startMs })
          return report
        })
        const successor = await succession
        const tookMs = performance.now() - startMs
        longest.see({ 'new leader': tookMs })
        expect(tookMs).toBeLessThan(TTL_MS + 1_000)
        expect(successor.token).toBeGreaterThan(token)
        // It was said before: what is between is the way of a message from one process to another.
        expect(await stopped).toMatchObject({ token, isHeld: false })
        expect(performance.now() - startMs - tookMs).toBeLessThan(500)
        await cable.plug()
        reports = leader.reports.length
        await successor.release()
      }
      await leader.reported('working', reports)
    } finally {
      await leader.kill('SIGKILL')
    }
    console.log(`CABLES=${pulls} TTL ${TTL_MS} ms, longest after the pull: ${longest}`)
  },
)
