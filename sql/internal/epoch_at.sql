CREATE OR REPLACE FUNCTION elect.epoch_at(at timestamptz, may_record boolean) RETURNS elect.epochs
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  identity CONSTANT bigint := elect.current_identity();
  at_us CONSTANT bigint := (extract(epoch FROM at) * 1000000)::bigint;
  records CONSTANT boolean := may_record AND current_setting('transaction_read_only') = 'off';
  known bigint;
  seen_us bigint;
  begun elect.epochs;
BEGIN
  -- One by one, in the opposite order of those who write them: then none of these can be newer than the one before it.
  SELECT i.last_value INTO known FROM elect.epoch_identity i;
  SELECT n.last_value INTO begun.epoch FROM elect.epoch_number n;
  SELECT s.last_value INTO seen_us FROM elect.epoch_seen s;
  begun.timeline := elect.current_timeline();

  -- Seen in the future: the clock of the server went back, and no lease is to count as held for longer by that much. A second,
  -- because the two clock readings that are compared may come from two sessions at the same moment.
  IF known = identity AND seen_us <= at_us + 1000000 THEN
    begun.first_seen_at := to_timestamp(seen_us / 1000000.0);
    RETURN begun;
  END IF;
  begun.first_seen_at := at;
  IF known = identity THEN
    IF records THEN
      PERFORM setval('elect.epoch_seen', at_us);
    END IF;
    RETURN begun;
  END IF;
  -- Not only one more: a standby that is promoted may not know of the last epoch.
  begun.epoch := greatest(begun.epoch + 1, begun.timeline);
  IF records THEN
    -- Two who come at once write the same, but for some milliseconds that the grace lasts longer.
    PERFORM setval('elect.epoch_seen', at_us);
    PERFORM setval('elect.epoch_number', begun.epoch);
    PERFORM setval('elect.epoch_identity', identity);
    -- For operators, if it can be had without waiting for another who does the same.
    IF pg_try_advisory_xact_lock(elect.epoch_key()) THEN
      INSERT INTO elect.epochs SELECT begun.* ON CONFLICT (epoch) DO NOTHING;
    END IF;
  END IF;
  RETURN begun;
END
$$;
COMMENT ON FUNCTION elect.epoch_at(timestamptz, boolean) IS
  'Internal. The epoch in force at that moment, which is now. may_record: the first to see a new one writes down when that was, at once and for all, whatever becomes of its transaction. Never waits. Error 25006 on a standby.';
