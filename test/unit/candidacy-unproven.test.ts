import { expect, test } from 'vitest'
import { waitForLease } from '../../src/candidacy.ts'
import { StubProcess } from './support/stub-process.ts'

test('a candidate that was handed a lease asks for it where a look does not prove that the synchronous standby has it', async () => {
  const process = new StubProcess()
  const { clock, model, database } = process
  model.acquire('job', 'leader', 600_000)
  const token = model.holding('job')?.token as number
  const honest = database.network
  // As the server answers where it has synchronous standbys.
  database.network = async (serve) => {
    const isLook = database.calls.at(-1)?.name === 'get_candidacy'
    const rows = (await honest(serve)) as { granted?: boolean | null }[]
    return isLook ? rows.map((row) => ({ ...row, granted: false })) : rows
  }
  const waiting = waitForLease(process.context, process.request(), process.closing.signal)
  await clock.advance(1000)
  const asked = database.callsOf('acquire_lease').length
  model.release('job', token)
  await clock.advance(1000)
  const lease = await waiting
  expect(lease).toMatchObject({ isHeld: true, token: model.holding('job')?.token })
  expect(database.callsOf('get_candidacy').length).toBeGreaterThan(0)
  expect(database.callsOf('acquire_lease').length).toBe(asked + 1)
})
