CREATE OR REPLACE FUNCTION elect.new_epoch(reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  stated_reason CONSTANT text := elect.valid_text(reason, 'reason');
  at timestamptz;
  begun elect.epochs;
BEGIN
  PERFORM elect.raise_durability();
  PERFORM pg_advisory_xact_lock(elect.epoch_key());
  at := clock_timestamp();
  begun := elect.epoch_at(at, true);
  begun.timeline := elect.current_timeline();
  begun.epoch := begun.epoch + 1;
  begun.first_seen_at := at;
  begun.reason := stated_reason;
  -- In force from here on, in this order, and not only once this is committed: too early is safe, too late is not.
  PERFORM setval('elect.epoch_seen', (extract(epoch FROM at) * 1000000)::bigint);
  PERFORM setval('elect.epoch_number', begun.epoch);
  INSERT INTO elect.epochs SELECT begun.* ON CONFLICT (epoch) DO NOTHING;
  RETURN begun.epoch;
END
$$;
COMMENT ON FUNCTION elect.new_epoch(text) IS
  'For operators, after a restore that the server cannot see by itself, as from a snapshot of its disk: begins a new epoch, in which each lease counts as held for its longest time (configure) unless its holder renews it. Returns its number. It is in force at once, also if the transaction is rolled back. The reason, 1 to 500 bytes, is kept in elect.epochs. Errors: 22023 bad argument, 55P03 another transaction is at an epoch for over a second, 25006 on a standby.';
