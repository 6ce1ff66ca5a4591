/** Cleans up after an example that could not do it itself. */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

// Waits for a word from the parent. End-of-file means that the parent is gone, for whatever reason. What belongs to the cluster is known
// by its working folder, which lies in that of the cluster: so no process that got a recycled number is hit. Patroni and etcd go first,
// or they would start servers again; servers are asked to go (SIGQUIT) before they are forced to, as only then they give back their
// shared memory. All are woken up first: a stopped process does nothing but die.
const script = `
  IFS= read -r word
  [ "$word" = release ] && exit 0
  folder="$1"
  inside() {
    found=
    for entry in /proc/[0-9]*; do
      place=$(readlink "$entry/cwd" 2>/dev/null) || continue
      case "$place" in
        "$folder"|"$folder "*) [ "$1" = all ] || [ "$1" = managers ] || continue ;;
        "$folder"/*) [ "$1" = all ] || [ "$1" = servers ] || continue ;;
        *) continue ;;
      esac
      found="$found \${entry#/proc/}"
    done
  }
  inside managers
  [ -z "$found" ] || kill -KILL $found 2>/dev/null
  for lock in "$folder"/*/data/postmaster.pid; do
    read -r pid < "$lock" 2>/dev/null || continue
    inside servers
    case " $found " in *" $pid "*) kill -QUIT "$pid" 2>/dev/null ;; esac
  done
  inside servers
  [ -z "$found" ] || kill -CONT $found 2>/dev/null
  tenths=70
  while [ -n "$found" ] && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); inside servers; done
  inside all
  while [ -n "$found" ]; do kill -KILL $found 2>/dev/null; sleep 0.1; inside all; done
  tenths=100
  until rm -rf "$folder" 2>/dev/null || [ "$tenths" -le 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
`

export interface Watcher {
  /** From now on the watcher does nothing. */
  release(): void
}

/** Starts a small process that outlives us, even a SIGKILL, and then ends whatever runs in that folder and removes the folder. */
export function watchOver(folder: string): Watcher {
  const watcher = spawn('sh', ['-c', script, 'sh', folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  if (watcher.pid === undefined) throw new Error('the watcher of the cluster did not start: is there no sh?')
  // Neither of them may keep us from ending.
  watcher.unref()
  const pipe = watcher.stdin as Socket
  pipe.unref()
  pipe.on('error', () => {})
  return { release: () => void pipe.end('release\n') }
}
