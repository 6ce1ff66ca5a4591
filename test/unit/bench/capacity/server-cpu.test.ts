import { expect, it } from 'vitest'
import { parsePrivateBytes, parseSchedstat, parseStat } from '../../../../bench/capacity/server-cpu.ts'

it('reads the time on a processor', () => {
  expect(parseSchedstat('957423000 1914686 2\n')).toBe(957.423)
})

it('takes nothing else for a time', () => {
  expect(() => parseSchedstat('')).toThrow('expected nanoseconds')
  expect(() => parseSchedstat('none of it')).toThrow('"none of it"')
})

it('reads the parent of a process with brackets and spaces in its name, and the time of its ended children', () => {
  const line = '4711 (postgres: (app) x) S 42 4711 4711 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 99'
  expect(parseStat(line)).toEqual({ parent: 42, endedChildrenMs: 1500 })
  expect(() => parseStat('')).toThrow('/proc/…/stat')
})

it('adds up the memory that a process shares with nobody', () => {
  const rollup = 'Rss:  9000 kB\nShared_Clean:  100 kB\nPrivate_Clean:     24 kB\nPrivate_Dirty:   1000 kB\n'
  expect(parsePrivateBytes(rollup)).toBe(1024 * 1024)
  expect(() => parsePrivateBytes('Rss: 1 kB\n')).toThrow('smaps_rollup')
})
