/**
 * What is waited for in the server cannot be called off: whoever stops waiting goes on at once, and the wait ends by itself.
 *
 * @param waiting - resolves to undefined if it saw that the signal has aborted
 * @throws the signal's reason if it aborts.
 */
export async function unlessStopped<T>(waiting: Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  const stop = new AbortController()
  const stopped = new Promise<undefined>((resolve) => {
    const listening = { once: true, signal: stop.signal }
    signal.addEventListener('abort', () => resolve(undefined), listening)
    if (signal.aborted) resolve(undefined)
  })
  try {
    const outcome = await Promise.race([waiting, stopped])
    if (outcome === undefined) throw signal.reason
    return outcome
  } finally {
    stop.abort()
  }
}
