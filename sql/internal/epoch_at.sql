CREATE OR REPLACE FUNCTION elect.epoch_at(at timestamptz, may_record boolean) RETURNS elect.epochs
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  last elect.epochs;
  begun elect.epochs;
  records boolean;
BEGIN
  SELECT * INTO last FROM elect.epochs e ORDER BY e.epoch DESC LIMIT 1;
  IF elect.is_current(last, at) THEN
    RETURN last;
  END IF;
  -- Nobody waits for this, as whoever has the lock may be in a transaction that stays open: all others go by what they see,
  -- and the grace begins when the first of them gets through.
  records := may_record AND pg_try_advisory_xact_lock(elect.epoch_key());
  IF records THEN
    -- Another may have been quicker.
    SELECT * INTO last FROM elect.epochs e ORDER BY e.epoch DESC LIMIT 1;
    IF elect.is_current(last, at) THEN
      RETURN last;
    END IF;
  END IF;

  IF last.timeline = elect.current_timeline() AND last.leases_oid = 'elect.leases'::regclass THEN
    -- The clock went back: no lease is to count as held for longer than its time from now on.
    begun := last;
    begun.first_seen_at := at;
    IF records THEN
      UPDATE elect.epochs AS e SET first_seen_at = at WHERE e.epoch = last.epoch;
    END IF;
    RETURN begun;
  END IF;
  begun.timeline := elect.current_timeline();
  begun.leases_oid := 'elect.leases'::regclass;
  -- Not only one more: a standby that is promoted may not know of the last epoch.
  begun.epoch := greatest(coalesce(last.epoch, 0) + 1, begun.timeline);
  begun.first_seen_at := at;
  IF records THEN
    INSERT INTO elect.epochs SELECT begun.*
    -- Under a snapshot of the whole transaction an epoch of today may be invisible: then the server raises 40001 here.
    ON CONFLICT (epoch) DO NOTHING;
  END IF;
  RETURN begun;
END
$$;
COMMENT ON FUNCTION elect.epoch_at(timestamptz, boolean) IS
  'Internal. The epoch in force at that moment, which is now. may_record: the first to see a new one writes down when that was, without ever waiting for another. Fails on a standby.';
