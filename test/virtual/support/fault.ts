/** A fault that is put in on purpose, as plain data, so that whoever breaks the project line by line can use it. */
export interface Fault {
  /** What goes wrong, in a few words. */
  readonly name: string
  /** From the root of the project. */
  readonly file: string
  /** Stands in the file exactly once. */
  readonly from: string
  readonly to: string
  /** The test file that fails. */
  readonly caughtBy: string
}
