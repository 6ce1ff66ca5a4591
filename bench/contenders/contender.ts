/** One of several that want the same name: the same for all systems, so that the work is the same. */

/** Gives back what was acquired. Resolves once that is done. */
export type Release = () => Promise<unknown>

export interface Contender {
  /** Waits until it holds the name, and holds on to it until that is released. */
  acquire(name: string): Promise<Release>
  close(): Promise<unknown>
}
