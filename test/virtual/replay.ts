/**
 * Repeats one schedule and shows its steps:  npx tsx test/virtual/replay.ts sql 123 45
 * The numbers are the seed and the schedule, as a failure tells them. Of the client, `0-1000` looks for the first that goes wrong.
 */
const [part, seed, number] = process.argv.slice(2)

async function replay(): Promise<readonly string[]> {
  if (part === 'sql') {
    const { VirtualDatabase } = await import('./sql/virtual-database.ts')
    const { runSchedule } = await import('./sql/run.ts')
    const database = await VirtualDatabase.open()
    try {
      const { trace, violations } = await runSchedule(database, Number(seed), Number(number))
      return [...trace, ...violations, `${violations.length} violations`]
    } finally {
      await database.close()
    }
  }
  if (part === 'client' && number?.includes('-')) {
    const { hunt } = await import('./client/hunt.ts')
    const [first = 0, end = 0] = number.split('-').map(Number)
    const { found, ran } = await hunt(Number(seed), end, { first, each: 1 })
    return found === undefined
      ? [`${ran} schedules, 0 violations`]
      : [`schedule ${found.number}: ${found.violations.join('; ')}`]
  }
  if (part === 'client') {
    const { runSchedule } = await import('./client/run.ts')
    const { trace, violations } = await runSchedule(Number(seed), Number(number), { traced: true })
    return [...trace, ...violations, `${violations.length} violations`]
  }
  throw new Error('expected: sql or client, a seed, the number of a schedule')
}

console.log((await replay()).join('\n'))
// Timers of worlds that have ended would keep it alive.
process.exit()
