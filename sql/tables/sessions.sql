-- One row for a process that holds many leases: it renews this row instead of theirs. A session that has ended has no row, and its id
-- is never given again, so nothing can bring it back.
CREATE TABLE elect.sessions (
  session uuid NOT NULL,
  epoch bigint NOT NULL,
  ttl interval NOT NULL,
  holder text COLLATE "C" NOT NULL,
  opened_at timestamptz NOT NULL,
  renewed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT sessions_pkey PRIMARY KEY (session)
) WITH (
  -- As elect.leases.
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 200,
  autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE elect.sessions IS
  'One row per process that keeps its leases by a session: they last for as long as it does. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.sessions.session IS 'What leases are bound to (elect.leases.session); random, never given twice.';
COMMENT ON COLUMN elect.sessions.epoch IS 'The epoch in which it was opened: it cannot be renewed in another.';
COMMENT ON COLUMN elect.sessions.ttl IS 'How long it lasts after each renewal.';
COMMENT ON COLUMN elect.sessions.holder IS 'Who opened it, for operators: 1 to 500 bytes.';
COMMENT ON COLUMN elect.sessions.opened_at IS 'When it was opened, by the clock of the server.';
COMMENT ON COLUMN elect.sessions.renewed_at IS 'When it was last renewed. In the future: the clock of the server has gone back.';
COMMENT ON COLUMN elect.sessions.expires_at IS 'From then on it has ended, and so have its leases.';

-- A table of its own: whoever takes a lease away must not wait for the row of the session, nor hold up its renewal.
CREATE TABLE elect.session_losses (
  session uuid NOT NULL,
  name text COLLATE "C" NOT NULL,
  token bigint NOT NULL,
  CONSTRAINT session_losses_pkey PRIMARY KEY (session, name, token)
);

COMMENT ON TABLE elect.session_losses IS
  'Leases that were taken from a session that goes on, for its next renewal to tell. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.session_losses.session IS 'The session that held it.';
COMMENT ON COLUMN elect.session_losses.name IS 'The lease.';
COMMENT ON COLUMN elect.session_losses.token IS 'The token with which it was held.';
