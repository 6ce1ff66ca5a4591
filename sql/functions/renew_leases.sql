CREATE OR REPLACE FUNCTION elect.renew_leases(names text[], tokens bigint[], ttl interval DEFAULT NULL, session uuid DEFAULT NULL)
RETURNS TABLE (
  name text, granted boolean, holder text, token bigint, version bigint, metadata jsonb, expires_in interval
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10ms'
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  asked CONSTANT integer := cardinality(names);
  in_epoch bigint;
  at timestamptz;
  new_ttl interval;
  kept_by elect.sessions;
  kept_until timestamptz;
  kept_for interval;
  promised timestamptz;
  lost_names text[];
BEGIN
  IF (asked = cardinality(tokens)) IS NOT TRUE THEN
    RAISE EXCEPTION 'Invalid tokens: expected one for each of % names, got %',
        coalesce(asked::text, 'null'), coalesce(cardinality(tokens)::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two arrays of the same length.';
  END IF;
  IF ttl IS NOT NULL THEN
    new_ttl := elect.valid_ttl(ttl);
  END IF;
  IF session IS NOT NULL THEN
    kept_by := elect.keep_session(session);
    -- As write_renewal: the session lasts for as long as any of them has been promised.
    SELECT max(l.expires_at) INTO promised
    FROM unnest(names, tokens) AS a (name, token) JOIN elect.leases l ON l.name = a.name COLLATE "C" AND l.token = a.token
    WHERE l.session IS NULL AND l.renewed_at <= clock_timestamp();
    IF promised > kept_by.expires_at THEN
      PERFORM elect.lock_session(session);
      UPDATE elect.sessions AS s SET renewed_at = clock_timestamp(), expires_at = greatest(s.expires_at, promised)
      WHERE s.session = kept_by.session
      RETURNING * INTO kept_by;
    END IF;
    new_ttl := kept_by.ttl;
    kept_until := kept_by.expires_at;
    kept_for := kept_by.expires_at - kept_by.renewed_at;
    lost_names := ARRAY(SELECT o.name FROM elect.session_losses o WHERE o.session = kept_by.session);
  END IF;
  IF NOT elect.is_durable() THEN
    PERFORM elect.raise_durability();
  END IF;
  IF asked = 1 AND session IS NULL THEN
    -- Most beats are of one lease, and setting up the statement for many would be half of what they cost. This one, too, waits where
    -- another transaction is at the row, for 10 ms, and has a clock from before that: so only where more time is left to the lease.
    BEGIN
      at := clock_timestamp();
      RETURN QUERY
      UPDATE elect.leases AS l
      SET version = l.version + 1, renewed_at = at, ttl = coalesce(new_ttl, l.ttl), expires_at = greatest(l.expires_at, at + coalesce(new_ttl, l.ttl))
      WHERE l.name = names[1] COLLATE "C" AND l.token = tokens[1] AND l.holder IS NOT NULL AND l.ttl IS NOT NULL AND l.session IS NULL
        AND l.expires_at > at + interval '100 milliseconds' AND l.renewed_at <= at AND elect.is_in_force(l.epoch)
      RETURNING l.name, true, l.holder, l.token, l.version, l.metadata, l.expires_at - l.renewed_at;
      IF FOUND THEN
        RETURN;
      END IF;
    EXCEPTION
      WHEN lock_not_available OR deadlock_detected THEN
        RETURN QUERY
        SELECT o.name, o.granted, o.holder, o.token, o.version, o.metadata, o.expires_in
        FROM elect.renew_one_by_one(names, tokens, renew_leases.ttl, NULL, '{}') AS o;
        RETURN;
    END;
  END IF;

  in_epoch := pg_sequence_last_value('elect.epoch_number');
  -- Of a standby it is not asked: epoch_at says what is wrong.
  IF (NOT pg_is_in_recovery() AND elect.is_in_force(in_epoch)) IS NOT TRUE THEN
    in_epoch := (elect.epoch_at(clock_timestamp(), true)).epoch;
  END IF;
  -- In one statement, which writes each row and nothing else. It waits where another transaction is at a row, for 10 ms, and has a clock
  -- from before that: so only where more time is left to the lease.
  BEGIN
    RETURN QUERY
    WITH renewed AS MATERIALIZED (
      UPDATE elect.leases AS l
      SET version = l.version + 1, epoch = in_epoch, renewed_at = a.at, is_bound = l.is_bound AND l.epoch = in_epoch,
          ttl = coalesce(new_ttl, l.ttl), session = renew_leases.session,
          expires_at = CASE WHEN renew_leases.session IS NULL THEN greatest(l.expires_at, a.at + coalesce(new_ttl, l.ttl)) END
      -- Row by row: the moment before it is looked up. So the settings above: another join would read the clock for all of them first.
      FROM (
        SELECT unnest(names) COLLATE "C" AS name, unnest(tokens) AS token, generate_series(1, asked) AS place, clock_timestamp() AS at
      ) AS a
      WHERE l.name = a.name AND l.token = a.token AND l.holder IS NOT NULL
        -- One that never expires, or that a session keeps already, or whose clock went back: by itself.
        AND l.ttl IS NOT NULL AND l.session IS NULL
        AND l.expires_at > a.at + interval '100 milliseconds' AND l.renewed_at <= a.at
        -- Nor one that was promised more meanwhile, or that may be coming back.
        AND (kept_until IS NULL OR l.expires_at <= kept_until AND l.name <> ALL (lost_names))
      RETURNING a.place, l.name, true AS granted, l.holder, l.token, l.version, l.metadata,
        coalesce(l.expires_at - l.renewed_at, least(kept_until - a.at, kept_for)) AS expires_in
    )
    SELECT e.name, e.granted, e.holder, e.token, e.version, e.metadata, e.expires_in
    FROM (
      TABLE renewed
      UNION ALL
      -- All others by themselves, after those above. Usually there are none: then this costs nothing, nor does looking at what was asked.
      SELECT o.*
      FROM elect.renew_one_by_one(
        names, tokens, renew_leases.ttl, renew_leases.session, ARRAY(SELECT r.place FROM renewed r)
      ) AS o
      WHERE (SELECT count(*) FROM renewed) < asked
    ) AS e
    ORDER BY e.place;
  EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
      -- Nothing has been renewed yet. One lease that another transaction is at must not hold up the beat of all the others.
      RETURN QUERY
      SELECT o.name, o.granted, o.holder, o.token, o.version, o.metadata, o.expires_in
      FROM elect.renew_one_by_one(names, tokens, renew_leases.ttl, renew_leases.session, '{}') AS o;
  END;
END
$$;
COMMENT ON FUNCTION elect.renew_leases(text[], bigint[], interval, uuid) IS
  'Renews many leases in one statement: one row for each, in the order asked for, as renew_lease would answer. Does not wait for more than a moment: granted is null where another transaction is at the row, which says nothing about the lease; ask again for that one. session: from now on they are kept by that; null: each by a ttl of its own. Errors: 22023 bad argument, LE004 the session has ended, 55P03 it was in use for over 100 ms, and then none is renewed.';
