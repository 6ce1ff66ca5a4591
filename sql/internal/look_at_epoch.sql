CREATE OR REPLACE FUNCTION elect.look_at_epoch(at timestamptz, may_record boolean) RETURNS elect.epochs
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
  known := pg_sequence_last_value('elect.epoch_identity');
  begun.epoch := pg_sequence_last_value('elect.epoch_number');
  seen_us := pg_sequence_last_value('elect.epoch_seen');

  begun.first_seen_at := to_timestamp(seen_us / 1000000.0);
  IF known <> identity OR seen_us > at_us + 1000000 THEN
    begun.first_seen_at := at;
    IF records THEN
      -- Two who come at once write the same, but for some milliseconds that the grace lasts longer.
      PERFORM setval('elect.epoch_seen', at_us);
    END IF;
  END IF;
  IF known <> identity THEN
    begun.timeline := elect.current_timeline();
    -- Not only one more: a standby that is promoted may not know of the last epoch.
    begun.epoch := greatest(begun.epoch + 1, begun.timeline);
    IF records THEN
      PERFORM setval('elect.epoch_number', begun.epoch);
      PERFORM setval('elect.epoch_identity', identity);
      -- For operators, if it can be had without waiting for another who does the same.
      IF pg_try_advisory_xact_lock(elect.epoch_key()) THEN
        INSERT INTO elect.epochs SELECT begun.* ON CONFLICT (epoch) DO NOTHING;
      END IF;
    END IF;
  END IF;
  IF records THEN
    PERFORM setval('elect.epoch_server', elect.server_run());
  END IF;
  RETURN begun;
END
$$;
COMMENT ON FUNCTION elect.look_at_epoch(timestamptz, boolean) IS
  'Internal. As epoch_at, by the identity of the server itself, which has to be read from disk. Error 25006 on a standby.';
