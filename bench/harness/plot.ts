/** Bars as an SVG picture, readable on a light and on a dark page. */
import { formatNumber } from './format.ts'
import type { Verdict } from './verdict.ts'

const LABEL_WIDTH = 300
const BAR_WIDTH = 360
const ROW_HEIGHT = 26
const WIDTH = LABEL_WIDTH + BAR_WIDTH + 120

export function plotVerdict({ title, figure, better, lines }: Verdict): string {
  const longest = Math.max(...lines.map((line) => line.median))
  const height = 48 + lines.length * ROW_HEIGHT
  const rows = lines.map((line, index) => {
    const y = 40 + index * ROW_HEIGHT
    const width = Math.max(1, (line.median / longest) * BAR_WIDTH)
    const colour = line.contestant.startsWith('pg-elect') ? '#336791' : '#9aa7b1'
    return `  <text x="${LABEL_WIDTH - 8}" y="${y + 15}" text-anchor="end">${escapeXml(line.contestant)}</text>
  <rect x="${LABEL_WIDTH}" y="${y + 2}" width="${width.toFixed(1)}" height="18" rx="2" fill="${colour}"/>
  <text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 15}">${formatNumber(line.median)}</text>`
  })
  const told = escapeXml(`${title}, ${figure} (${better} is better)`)
  return `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="13" fill="#24292f">
  <title>${told}</title>
  <rect width="100%" height="100%" fill="#ffffff"/>
  <text x="8" y="22" font-weight="bold">${told}</text>
${rows.join('\n')}
</svg>
`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
