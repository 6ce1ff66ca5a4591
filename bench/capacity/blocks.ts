/** Measured tables in a page of the documentation: each stands between two marks, so that a new run can put its own there. */

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'))
  return line(head) + line(rule) + rows.map(line).join('')
}

/**
 * The page with that block's text in place of the one it had.
 *
 * @throws TypeError if the page has no such block, or two
 */
export function replaceBlock(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- measured: ${name} -->\n`, `<!-- end: ${name} -->`]
  const parts = page.split(begin)
  const after = parts[1]?.indexOf(end) ?? -1
  if (parts.length !== 2 || after < 0) {
    throw new TypeError(
      `expected one block between ${JSON.stringify(begin.trim())} and ${JSON.stringify(end)}`,
    )
  }
  return `${parts[0]}${begin}\n${text.trim()}\n\n${parts[1]?.slice(after)}`
}
