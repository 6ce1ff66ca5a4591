/** How each example begins: options that can be read, a screen, and a signal that ends it before its time. */
import { onInterruption } from './interruption.ts'
import { Screen } from './screen.ts'

/** The options of the command line; the process ends here where they are wrong, or help was asked for. */
export function optionsOrExit<Options extends { readonly help: boolean }>(
  read: (words: string[]) => Options | string,
  help: string,
): Options {
  const options = read(process.argv.slice(2))
  if (typeof options === 'string') {
    console.error(`${options}\n\n${help}`)
    process.exit(2)
  }
  if (options.help) {
    console.log(help)
    process.exit(0)
  }
  return options
}

export interface Stage {
  readonly screen: Screen
  /** Aborts when the example must end before its time, with the reason. */
  readonly ending: AbortController
}

export function openStage(): Stage {
  const screen = new Screen(process.stdout)
  const ending = new AbortController()
  onInterruption((reason) => {
    screen.event('stopping')
    ending.abort(reason)
  })
  // Such as that of `npm run demo | head -1`: nobody reads on.
  process.stdout.on('error', (error) => ending.abort(error))
  return { screen, ending }
}
