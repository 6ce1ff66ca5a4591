import { expect, it } from 'vitest'
import { markdownTable, replaceBlock } from '../../../../bench/capacity/blocks.ts'

const page = 'before\n<!-- measured: costs -->\n\nold\n\n<!-- end: costs -->\nafter\n'

it('writes figures on the right', () => {
  expect(markdownTable(['what', 'ms'], [['a', '1']])).toBe('| what | ms |\n| --- | ---: |\n| a | 1 |\n')
})

it('puts a new text between the marks and leaves all else as it is', () => {
  const written = replaceBlock(page, 'costs', 'new $& text\n')
  expect(written).toBe('before\n<!-- measured: costs -->\n\nnew $& text\n\n<!-- end: costs -->\nafter\n')
  expect(replaceBlock(written, 'costs', 'old')).toBe(page)
})

it('refuses a page without that block, with an open one, or with two', () => {
  expect(() => replaceBlock(page, 'fleet', 'x')).toThrow('measured: fleet')
  expect(() => replaceBlock(page.replace('end: costs', 'end: other'), 'costs', 'x')).toThrow('end: costs')
  expect(() => replaceBlock(page + page, 'costs', 'x')).toThrow('expected one block')
})
