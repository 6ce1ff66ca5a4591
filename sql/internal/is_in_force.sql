CREATE OR REPLACE FUNCTION elect.is_in_force(epoch bigint) RETURNS boolean
LANGUAGE sql VOLATILE
-- The first to be written is read last, as in epoch_at.
RETURN NOT pg_is_in_recovery() AND pg_sequence_last_value('elect.epoch_server') = elect.server_run()
  AND pg_sequence_last_value('elect.epoch_number') = epoch;
COMMENT ON FUNCTION elect.is_in_force(bigint) IS
  'Internal. Whether it is the epoch in force: what was granted or renewed in it is in no grace. Where this cannot be said without reading from disk, false.';
