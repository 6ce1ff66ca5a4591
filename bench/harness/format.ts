/** Numbers as people read them. */

/** Three significant digits at most, thousands with a comma: 12,300, 1.23, 0.0457. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  if (size === 0) return '0'
  return String(Number(value.toPrecision(3)))
}

export function formatRatio(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value < 0.1) return `${Number(value.toPrecision(2))} ×`
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)} ×`
}

/** Seconds with one decimal below a minute, then minutes and seconds: 12.3 s, 3 min 7 s. */
export function formatSeconds(ms: number): string {
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** Of a spread: 0.123 is 12 %. */
export function formatPercent(part: number): string {
  return Number.isFinite(part) ? `${Math.round(part * 100)} %` : '–'
}

/** One line for each reason. */
export function formatAbsent(absent: readonly { contestant: string; why: string }[]): string[] {
  const reasons = new Map<string, string[]>()
  for (const { contestant, why } of absent) reasons.set(why, [...(reasons.get(why) ?? []), contestant])
  return [...reasons].map(([why, contestants]) => `not run: ${contestants.join(', ')}: ${why}`)
}
