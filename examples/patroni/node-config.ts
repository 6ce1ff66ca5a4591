import { join } from 'node:path'
import type { EtcdApi } from './programs.ts'

/**
 * Patroni's clocks in seconds: small, so that a fail-over takes seconds. Patroni wants loop_wait + 2 × retry_timeout ≤ ttl; its smallest
 * loop_wait is 1, its smallest retry_timeout 3. From 3.2 on it takes a ttl below 20 as 20: then a fail-over takes that much longer, and
 * nothing else changes.
 */
export const PATRONI_TTL_S = 7
const LOOP_WAIT_S = 1
const RETRY_TIMEOUT_S = 3

/** What differs between clusters and nodes. */
export interface NodePlan {
  readonly name: string
  /** The node's own: configuration, data and socket. */
  readonly folder: string
  readonly port: number
  readonly restPort: number
  readonly etcdPort: number
  readonly etcdApi: EtcdApi
  readonly postgresFolder: string
  readonly password: string
  readonly isSynchronous: boolean
}

/** Patroni's configuration file of one node, as JSON, which is YAML too. */
export function nodeConfig(plan: NodePlan): string {
  const { name, folder, port, restPort, etcdPort, etcdApi, postgresFolder, password, isSynchronous } = plan
  return JSON.stringify(
    {
      scope: 'pg-elect',
      name,
      restapi: { listen: `127.0.0.1:${restPort}`, connect_address: `127.0.0.1:${restPort}` },
      [etcdApi]: { host: `127.0.0.1:${etcdPort}` },
      bootstrap: {
        dcs: {
          ttl: PATRONI_TTL_S,
          loop_wait: LOOP_WAIT_S,
          retry_timeout: RETRY_TIMEOUT_S,
          maximum_lag_on_failover: 2 ** 20,
          synchronous_mode: isSynchronous,
          postgresql: {
            use_pg_rewind: true,
            parameters: {
              max_connections: 60,
              wal_keep_size: '128MB',
              wal_log_hints: 'on',
              // What a killed server leaves behind lies in its data folder, then, and goes with it.
              dynamic_shared_memory_type: 'mmap',
            },
          },
        },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums', 'no-sync'],
      },
      postgresql: {
        listen: `127.0.0.1:${port}`,
        connect_address: `127.0.0.1:${port}`,
        data_dir: join(folder, 'data'),
        bin_dir: postgresFolder,
        pgpass: join(folder, 'pgpass'),
        authentication: {
          superuser: { username: 'postgres', password },
          replication: { username: 'replicator', password },
        },
        parameters: { unix_socket_directories: folder, shared_buffers: '32MB' },
        pg_hba: [
          'host replication all 127.0.0.1/32 scram-sha-256',
          'host all all 127.0.0.1/32 scram-sha-256',
        ],
        basebackup: [{ checkpoint: 'fast' }, 'no-sync'],
        // What Patroni cannot rewind it makes anew.
        remove_data_directory_on_rewind_failure: true,
        remove_data_directory_on_diverged_timelines: true,
      },
    },
    null,
    2,
  )
}
