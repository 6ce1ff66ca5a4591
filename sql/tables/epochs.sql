-- Which life of the data a grant belongs to. After the promotion of an asynchronous standby, or a restore, grants may be
-- missing whose holders still trust them.
CREATE TABLE elect.epochs (
  epoch bigint NOT NULL,
  timeline bigint NOT NULL,
  leases_oid oid NOT NULL,
  first_seen_at timestamptz NOT NULL,
  reason text COLLATE "C",
  CONSTRAINT epochs_pkey PRIMARY KEY (epoch)
);

COMMENT ON TABLE elect.epochs IS
  'The epochs of this database, the last one being in force: a new one begins when a standby is promoted, when a dump is restored, or when an operator says so. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.epochs.epoch IS 'Grows with each epoch, and is never smaller than the timeline.';
COMMENT ON COLUMN elect.epochs.timeline IS 'Timeline of the server: another one means that a standby was promoted, or a backup recovered.';
COMMENT ON COLUMN elect.epochs.leases_oid IS 'Object id of elect.leases: another one means that a dump was restored.';
COMMENT ON COLUMN elect.epochs.first_seen_at IS
  'When it was first seen, by the clock of the server: the grace of all leases runs from then on. -infinity: there was nothing before it, so there is none.';
COMMENT ON COLUMN elect.epochs.reason IS 'What an operator said (elect.new_epoch); null: it was noticed.';

-- The first one comes with the schema.
INSERT INTO elect.epochs (epoch, timeline, leases_oid, first_seen_at)
SELECT t.timeline, t.timeline, 'elect.leases'::pg_catalog.regclass, '-infinity'
FROM (SELECT ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint) AS t (timeline);
