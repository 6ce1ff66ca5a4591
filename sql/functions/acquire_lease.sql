CREATE OR REPLACE FUNCTION elect.acquire_lease(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  asked_ttl CONSTANT interval := elect.valid_ttl(ttl);
  asked_metadata CONSTANT jsonb := elect.valid_metadata(metadata);
  lease elect.leases;
  at timestamptz;
  -- Whether this transaction alone may give the lease away: it has the vacant row, or has seen that there is none.
  vacancy_locked boolean := false;
BEGIN
  -- A plain read first: contention for a held lease, the usual case, locks and writes nothing.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  at := clock_timestamp();

  IF elect.is_held(lease, at) AND lease.holder <> contender THEN
    IF lease.renewed_at > at THEN
      lease := elect.cut_to_clock(lease_name);
      at := clock_timestamp();
    END IF;
    RETURN elect.lease_answer(false, lease, at);
  END IF;

  IF elect.is_held(lease, at) THEN
    -- Its own already: an earlier answer was lost. NO KEY, because its guarded transactions may be under way.
    SELECT * INTO lease FROM elect.leases l
    WHERE l.name = lease_name AND l.token = lease.token AND l.holder = contender
    FOR NO KEY UPDATE SKIP LOCKED;
  ELSE
    -- It looks vacant. Contenders go one at a time, and those who are not first leave instead of waiting.
    IF NOT pg_try_advisory_xact_lock(elect.advisory_key(lease_name)) THEN
      RETURN elect.lease_answer(false, NULL, at);
    END IF;
    -- FOR UPDATE conflicts with the row lock of a guarded transaction: while one is open nobody takes over.
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name FOR UPDATE SKIP LOCKED;
    vacancy_locked := lease.name IS NOT NULL OR NOT EXISTS (SELECT FROM elect.leases l WHERE l.name = lease_name);
  END IF;

  at := clock_timestamp();
  IF elect.is_held(lease, at) AND lease.holder = contender THEN
    lease := elect.write_renewal(lease, at, asked_ttl, asked_metadata);
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  IF elect.is_held(lease, at) OR NOT vacancy_locked THEN
    RETURN elect.lease_answer(false, lease, at);
  END IF;
  lease := elect.write_grant(lease, lease_name, at, contender, asked_ttl, asked_metadata,
    CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END);
  RETURN elect.lease_answer(true, lease, at);
END
$$;
COMMENT ON FUNCTION elect.acquire_lease(text, text, interval, jsonb) IS
  'Grants the lease to the holder if it is vacant; if the holder has it already, extends it under the same token. Else granted is false and the row tells who holds it and for how long; all null: it is changing hands or in use at this moment, ask again soon. Never waits for a lock. ttl: 100 ms to 24 h, 15 s by default. Errors: 22023 bad argument.';
