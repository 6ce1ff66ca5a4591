CREATE OR REPLACE FUNCTION elect.compare_and_swap(key text, next text, current text, ttl interval DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(key);
  next_value CONSTANT text := elect.valid_text(nullif(next, ''), 'next', true);
  current_value CONSTANT text := elect.valid_text(nullif(current, ''), 'current', true);
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  lease elect.leases;
  at timestamptz;
BEGIN
  -- A plain read first: a key that has another value is left alone, without a lock.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  IF elect.is_held(lease, clock_timestamp()) AND lease.holder IS DISTINCT FROM current_value THEN
    RETURN false;
  END IF;

  lease := elect.lock_register(lease_name);
  at := clock_timestamp();
  IF elect.is_held(lease, at) AND lease.holder IS DISTINCT FROM current_value THEN
    RETURN false;
  END IF;
  IF current_value IS NOT NULL AND NOT elect.is_held(lease, at) THEN
    PERFORM elect.require_settled(lease, lease_name, asked_ttl, at);
    RAISE EXCEPTION 'Expected value % for key %, but found empty', current_value, lease_name
      USING ERRCODE = 'LE002', HINT = 'It was never set, was emptied, or its ttl has run out.';
  END IF;
  PERFORM elect.write_register(lease, lease_name, at, next_value, asked_ttl);
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.compare_and_swap(text, text, text, interval) IS
  'Compare-and-swap on the value (the holder) of a key: stores next if the value is current. Null and '''' both mean empty; an empty next vacates; without a ttl it does not expire. False if the value is another. Errors: LE002 current was given but the key is empty, 22023 bad argument, 55P03 another transaction was at the key for over a second, or a value that expires may have been lost by a fail-over (elect.epochs) and cannot be written before that is over.';
