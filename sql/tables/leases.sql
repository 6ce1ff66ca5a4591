-- Names compare bytewise: what counts as equal must not depend on the locale of a server or change with its upgrade.
CREATE TABLE elect.leases (
  name text COLLATE "C" NOT NULL,
  holder text COLLATE "C",
  token bigint NOT NULL,
  epoch bigint NOT NULL,
  acquired_at timestamptz NOT NULL,
  -- What a renewal changes, side by side: only what lies between the first and the last difference is written to the WAL.
  renewed_at timestamptz NOT NULL,
  expires_at timestamptz,
  version bigint NOT NULL,
  ttl interval,
  metadata jsonb,
  step_down_token bigint,
  is_bound boolean NOT NULL DEFAULT false,
  part_of text COLLATE "C",
  session uuid,
  -- Not for look-ups: it makes the server treat a change of token as a change of key, so that even an UPDATE
  -- written by hand conflicts with the FOR KEY SHARE of a guarded transaction (assert_lease).
  CONSTRAINT leases_name_token_key UNIQUE (name, token),
  -- No checks of lengths: nobody but the functions writes here, and they have checked (valid_name, valid_text). The server would
  -- prepare each of them anew for each write: a sixth of the time of a grant.
  CONSTRAINT leases_pkey PRIMARY KEY (name)
) WITH (
  -- Room on each page for new row versions: renewals change no indexed column, so they stay on the page (HOT)
  -- and are cleaned up there without a vacuum.
  fillfactor = 70,
  -- A table of few rows and many updates: the server's defaults, made for the opposite, come too late.
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 200,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.2,
  autovacuum_analyze_threshold = 1000
);

-- Few rows are part of something, and no renewal changes that: it costs the others nothing.
CREATE INDEX leases_part_of ON elect.leases (part_of) WHERE part_of IS NOT NULL;

COMMENT ON TABLE elect.leases IS
  'One row per lease name. A row outlives its holder, because its token and version must never start again. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.leases.name IS 'What is contended for: 1 to 200 bytes, compared bytewise.';
COMMENT ON COLUMN elect.leases.holder IS
  'Who holds it: 1 to 500 bytes, unique per contender instance. Null: vacant. It is also the value of the compare-and-swap register.';
COMMENT ON COLUMN elect.leases.token IS
  'Fencing token of the last grant: grows with every grant, never reused (microseconds since 1970, or one more than the last).';
COMMENT ON COLUMN elect.leases.version IS
  'Grows by one with every write of the row. Starts at the first token, so that it is not repeated after a prune.';
COMMENT ON COLUMN elect.leases.epoch IS 'Timeline of the server that made the last grant: changes when a standby is promoted.';
COMMENT ON COLUMN elect.leases.acquired_at IS 'When the last grant was made, by the clock of the server.';
COMMENT ON COLUMN elect.leases.renewed_at IS 'When the row was last written. In the future: the clock of the server has gone back.';
COMMENT ON COLUMN elect.leases.expires_at IS 'From then on the lease is vacant. Null: it does not expire, or not before its session.';
COMMENT ON COLUMN elect.leases.ttl IS 'Time to live that the holder asked for last; a renewal without a ttl repeats it. Null: no expiry.';
COMMENT ON COLUMN elect.leases.metadata IS 'What the holder tells the others, such as its address: JSON, at most 4 KiB as text.';
COMMENT ON COLUMN elect.leases.step_down_token IS 'The term whose leader was asked to step down; it counts only while it equals token.';
COMMENT ON COLUMN elect.leases.is_bound IS
  'Whether the holder has bound the lease to a connection of its own: when that ends, the next one need not wait for the expiry.';
COMMENT ON COLUMN elect.leases.part_of IS
  'The shared lease of which this is one share (elect.shared_leases); null: a lease of its own. Shares are named after it and their token.';
COMMENT ON COLUMN elect.leases.session IS
  'The session that keeps it (elect.sessions): it is held for as long as that lasts. Null: it has an expiry of its own.';
