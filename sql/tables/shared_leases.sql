-- A table beside elect.leases, because nobody holds this row: it is where those who share something count each other,
-- stand in line and release, one at a time, and where the tokens of all shares come from.
CREATE TABLE elect.shared_leases (
  name text COLLATE "C" NOT NULL,
  capacity integer,
  token bigint NOT NULL,
  exclusive_token bigint,
  opened_token bigint,
  written_at timestamptz NOT NULL,
  CONSTRAINT shared_leases_pkey PRIMARY KEY (name),
  CONSTRAINT shared_leases_name_length CHECK (octet_length(name) BETWEEN 1 AND 180),
  CONSTRAINT shared_leases_capacity CHECK (capacity >= 0)
) WITH (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 200,
  autovacuum_vacuum_cost_delay = 0
);

COMMENT ON TABLE elect.shared_leases IS
  'What several may hold at once: a semaphore, a read-write lock, a group, a barrier. Each share is a row of elect.leases with a token of its own. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.shared_leases.name IS 'What is shared: 1 to 180 bytes.';
COMMENT ON COLUMN elect.shared_leases.capacity IS 'How many shares there may be at once; null: any number.';
COMMENT ON COLUMN elect.shared_leases.token IS 'Token of the last share that was granted: the next one is larger.';
COMMENT ON COLUMN elect.shared_leases.exclusive_token IS 'Token of the last exclusive share. Whether it is still held is to be seen in elect.leases.';
COMMENT ON COLUMN elect.shared_leases.opened_token IS 'A barrier: shares up to this token have come together and may go on.';
COMMENT ON COLUMN elect.shared_leases.written_at IS 'When the row was last written.';
