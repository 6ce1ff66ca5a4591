import { expect, test } from 'vitest'
import { installSchema } from '../support/postgres/install.ts'
import { eventually, grantTo, release, scalar, sqlStateOf } from './leases.ts'
import { ownServerVersion, useOwnServer } from './own-server.ts'

// The queue is one for the whole server, and can be made small from version 17 on; before, it takes 8 GB to fill.
const tooOld = (await ownServerVersion()) < 17
// A full queue fails the NOTIFY of everybody.
const server = useOwnServer(tooOld ? {} : { max_notify_queue_pages: 64 })

test.skipIf(tooOld)(
  'a full notification queue fails no grant and no release',
  async () => {
    const url = server.urlOf('postgres')
    await installSchema(url)
    const [stuck, writer] = [await server.connect(url), await server.connect(url)]
    // A listener inside a transaction reads nothing, so the queue cannot be emptied.
    await stuck.query('LISTEN elect')
    await stuck.query('BEGIN')
    await stuck.query('SELECT')
    const usage = () => scalar<number>(writer, 'SELECT pg_notification_queue_usage()')
    const fill = () => sqlStateOf(writer.query("SELECT pg_notify('other', repeat('x', 7000) || random())"))
    while ((await fill()) === '00000') expect(await usage()).toBeLessThanOrEqual(1)
    expect(await fill()).toBe('54000')

    const token = await grantTo(writer, 'hinted', 'ada')
    expect(await release(writer, 'hinted', token)).toBe(true)
    await grantTo(writer, 'hinted', 'bob')

    // It was the full queue that kept them quiet: once it is read, changes are told again.
    const heard: unknown[] = []
    stuck.on('notification', ({ payload }) => heard.push(JSON.parse(String(payload)).event))
    await stuck.query('COMMIT')
    await eventually(async () => (await usage()) < 0.5)
    await grantTo(writer, 'hinted again', 'ada')
    await eventually(async () => {
      await stuck.query('SELECT')
      return heard.length > 0
    })
    expect(heard).toEqual(['granted'])
  },
  60_000,
)
