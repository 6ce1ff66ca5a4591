CREATE OR REPLACE FUNCTION elect.new_epoch(reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  stated_reason CONSTANT text := elect.valid_text(reason, 'reason');
  begun bigint;
BEGIN
  PERFORM elect.raise_durability();
  PERFORM pg_advisory_xact_lock(elect.epoch_key());
  INSERT INTO elect.epochs (epoch, timeline, leases_oid, first_seen_at, reason)
  SELECT greatest(max(e.epoch) + 1, elect.current_timeline()), elect.current_timeline(), 'elect.leases'::regclass,
         clock_timestamp(), stated_reason
  FROM elect.epochs e
  ON CONFLICT (epoch) DO NOTHING
  RETURNING epoch INTO begun;
  RETURN begun;
END
$$;
COMMENT ON FUNCTION elect.new_epoch(text) IS
  'For operators, after a restore that the server cannot see by itself, as from a snapshot of its disk: begins a new epoch, in which each lease counts as held for its longest time (configure) unless its holder renews it. Returns its number. The reason, 1 to 500 bytes, is kept. Errors: 22023 bad argument, 55P03 another transaction is recording an epoch for over a second.';
