-- Which life of the data a grant belongs to. After the promotion of an asynchronous standby, or a restore, grants may be
-- missing whose holders still trust them.
--
-- The epoch in force stands in sequences, because these are not rolled back, nor hidden until a commit: whoever first sees a
-- new epoch may be in a transaction that stays open, or in a call that is refused, and the grace must begin for all.
CREATE SEQUENCE elect.epoch_identity MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807;
CREATE SEQUENCE elect.epoch_server MINVALUE -9223372036854775808 MAXVALUE 9223372036854775807;
CREATE SEQUENCE elect.epoch_number;
CREATE SEQUENCE elect.epoch_seen;
COMMENT ON SEQUENCE elect.epoch_identity IS
  'The server and timeline of the epoch in force, as a digest: another one means that a new epoch has begun.';
COMMENT ON SEQUENCE elect.epoch_server IS
  'The run of the server in which that was last looked at, as a digest: while it goes on, its identity need not be read from disk again. Written last.';
COMMENT ON SEQUENCE elect.epoch_number IS 'The number of the epoch in force.';
COMMENT ON SEQUENCE elect.epoch_seen IS
  'When the epoch in force was first seen, in microseconds since 1970: the grace of all leases runs from then on. 1: there was nothing before it. Written first.';

CREATE TABLE elect.epochs (
  epoch bigint NOT NULL,
  timeline bigint NOT NULL,
  first_seen_at timestamptz NOT NULL,
  reason text COLLATE "C",
  CONSTRAINT epochs_pkey PRIMARY KEY (epoch)
);

COMMENT ON TABLE elect.epochs IS
  'The epochs that this database has been in, for operators: a new one begins when a standby is promoted, when a dump is restored, or when an operator says so. Written by the functions of this schema only.';
COMMENT ON COLUMN elect.epochs.epoch IS 'Grows with each epoch, and is never smaller than the timeline.';
COMMENT ON COLUMN elect.epochs.timeline IS 'Timeline of the server.';
COMMENT ON COLUMN elect.epochs.first_seen_at IS 'When it was first seen, by the clock of the server. -infinity: there was nothing before it.';
COMMENT ON COLUMN elect.epochs.reason IS 'What an operator said (elect.new_epoch); null: it was noticed.';
