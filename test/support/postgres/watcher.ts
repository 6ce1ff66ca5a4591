import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

// Waits for a word from the parent. End-of-file means that the parent is gone, for whatever reason: then the server
// must end too. It is found by postmaster.pid, which the server removes at its end, so that no process that got a
// recycled number is hit. A server that a test has stopped by SIGSTOP must go on first: its postmaster would die by SIGKILL, but
// not its sessions. Removing is repeated because an orphaned initdb may still be writing.
const script = `
  IFS= read -r word
  [ "$word" = release ] && exit 0
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/cwd")" = "$1/data" ] && kill -CONT "\${process#/proc/}"
  done 2>/dev/null
  lock="$1/data/postmaster.pid"
  for step in INT:50 QUIT:70 KILL:1; do
    [ -e "$lock" ] || break
    read -r pid < "$lock"
    kill -"\${step%:*}" "$pid" 2>/dev/null
    tenths="\${step#*:}"
    while [ -e "$lock" ] && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
  done
  tenths=100
  until rm -rf "$1" 2>/dev/null || [ "$tenths" -le 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
`

/** Cleans up after a parent that could not. */
export interface Watcher {
  readonly pid: number
  /** From now on the watcher does nothing. */
  release(): void
}

/**
 * Starts a small process of its own session that outlives us, even a SIGKILL, and then stops the server of that
 * folder and removes the folder.
 */
export function watchOver(folder: string): Watcher {
  const watcher = spawn('sh', ['-c', script, 'sh', folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const { pid, stdin } = watcher
  if (pid === undefined)
    throw new Error('the watcher of the PostgreSQL server did not start: is there no sh?')
  // Neither of them may keep us from ending.
  watcher.unref()
  const pipe = stdin as Socket
  pipe.unref()
  pipe.on('error', () => {})
  return { pid, release: () => void pipe.end('release\n') }
}
