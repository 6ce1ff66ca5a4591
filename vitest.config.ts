import { defineConfig } from 'vitest/config'

const serverSetup = './test/support/postgres/global-setup.ts'

// Unit tests start no server: `vitest run --project unit` needs nothing but Node.
const projects = [
  { name: 'unit', globalSetup: [] },
  // The SQL in memory, and the client on clocks of its own: no server either. VIRTUAL=1000000 runs a million schedules.
  { name: 'virtual', globalSetup: [] },
  { name: 'sql', globalSetup: [serverSetup] },
  { name: 'integration', globalSetup: [serverSetup] },
  { name: 'faults', globalSetup: [serverSetup] },
]

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: projects.map(({ name, globalSetup }) => ({
      test: {
        name,
        globalSetup,
        include: [`test/${name}/**/*.test.ts`],
        pool: 'forks',
        testTimeout: 30_000,
        hookTimeout: 60_000,
      },
    })),
  },
})
