CREATE OR REPLACE FUNCTION elect.is_in_force(epoch bigint, at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE
-- The first to be written is read last, as in epoch_at.
RETURN NOT pg_is_in_recovery() AND pg_sequence_last_value('elect.epoch_server') = elect.server_run()
  AND pg_sequence_last_value('elect.epoch_number') = epoch
  AND to_timestamp(pg_sequence_last_value('elect.epoch_seen') / 1000000.0) <= at + interval '1 second';
COMMENT ON FUNCTION elect.is_in_force(bigint, timestamptz) IS
  'Internal. Whether it is the epoch in force at that moment, which is now: what was granted or renewed in it is in no grace. False where epoch_at would write something down: ask that.';
