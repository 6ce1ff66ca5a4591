CREATE OR REPLACE FUNCTION elect.epoch_at(at timestamptz, may_record boolean) RETURNS elect.epochs
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  known_run CONSTANT bigint := pg_sequence_last_value('elect.epoch_server');
  begun elect.epochs;
BEGIN
  -- Usually this run of the server has been seen before. Read in the opposite order of those who write them, as there.
  IF NOT pg_is_in_recovery() AND known_run = elect.server_run() THEN
    begun.epoch := pg_sequence_last_value('elect.epoch_number');
    begun.first_seen_at := to_timestamp(pg_sequence_last_value('elect.epoch_seen') / 1000000.0);
    -- Seen in the future: the clock of the server went back, and no lease is to count as held for longer by that much. A second,
    -- because the two clock readings that are compared may come from two sessions at the same moment.
    IF begun.first_seen_at <= at + interval '1 second' THEN
      RETURN begun;
    END IF;
  END IF;
  RETURN elect.look_at_epoch(at, may_record);
END
$$;
COMMENT ON FUNCTION elect.epoch_at(timestamptz, boolean) IS
  'Internal. The epoch in force at that moment, which is now. may_record: the first to see a new one writes down when that was, at once and for all, whatever becomes of its transaction. Never waits. Error 25006 on a standby.';
