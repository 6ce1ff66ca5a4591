import { type Bench, Unavailable } from './scenario.ts'

/** @throws Unavailable if it was not asked for what takes long. */
export function requireLong({ isLong }: Bench): void {
  if (!isLong) throw new Unavailable('takes long: only with --long')
}

/** For a contestant that takes its time. @throws Unavailable in a quick run. */
export function requireTime({ isQuick }: Bench): void {
  if (isQuick) throw new Unavailable('not in a quick run')
}
