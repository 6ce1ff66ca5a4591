import type pg from 'pg'
import { expect, it } from 'vitest'
import { Connections } from '../../../../bench/capacity/connections.ts'

const sessions = (count: number) => Array.from({ length: count }, () => ({}) as pg.Client)

it('lends each connection to one at a time, and serves those who wait in the order in which they came', async () => {
  const connections = new Connections(sessions(2))
  const inUse = new Set<pg.Client>()
  const begun: number[] = []
  const done: (() => void)[] = []
  for (let i = 0; i < 2500; i++) {
    connections.submit(async (session) => {
      expect(inUse.has(session)).toBe(false)
      inUse.add(session)
      begun.push(i)
      await new Promise<void>((resolve) => done.push(resolve))
      inUse.delete(session)
    })
  }
  expect(begun).toEqual([0, 1])
  expect(connections.waiting).toBe(2498)
  const all = connections.idle()
  for (let i = 0; i < 2500; i++) {
    done[i]?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(begun).toEqual(Array.from({ length: 2500 }, (_, i) => i))
  expect(connections.waiting).toBe(0)
  await all
})

it('lends a connection on where what was done on it has failed', async () => {
  const connections = new Connections(sessions(1))
  let isServed = false
  connections.submit(() => Promise.reject(new Error('no')))
  connections.submit(async () => {
    isServed = true
  })
  await connections.idle()
  expect(isServed).toBe(true)
})
