// A program that starts a server and never stops it: the tests end this program instead.
import { startEmbeddedPostgres } from '../../support/postgres/embedded.ts'

const server = await startEmbeddedPostgres({
  keep: process.argv.includes('keep'),
  progress: (line) => console.log(line),
})
console.log(JSON.stringify(server))
setInterval(() => {}, 60_000)
