import { type Bench, Unavailable } from './scenario.ts'

/** For a contestant that takes its time. @throws Unavailable in a quick run. */
export function requireTime({ isQuick }: Bench): void {
  if (isQuick) throw new Unavailable('not in a quick run')
}
