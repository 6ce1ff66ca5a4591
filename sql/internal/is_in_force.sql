CREATE OR REPLACE FUNCTION elect.is_in_force(epoch bigint) RETURNS boolean
LANGUAGE sql VOLATILE
-- The first to be written is read last, as in epoch_at. Since when it is in force is not asked: that matters to leases of other epochs.
RETURN pg_sequence_last_value('elect.epoch_server') = elect.server_run()
  AND pg_sequence_last_value('elect.epoch_number') = epoch;
COMMENT ON FUNCTION elect.is_in_force(bigint) IS
  'Internal. Whether it is the epoch in force: what was granted or renewed in it is in no grace. False where epoch_at would write something down: ask that.';
