CREATE OR REPLACE FUNCTION elect.renew_leases(names text[], tokens bigint[], ttl interval DEFAULT NULL, session uuid DEFAULT NULL)
RETURNS TABLE (
  name text, granted boolean, holder text, token bigint, version bigint, metadata jsonb, expires_in interval
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  in_epoch bigint;
BEGIN
  IF names IS NULL OR tokens IS NULL OR cardinality(names) <> cardinality(tokens) THEN
    RAISE EXCEPTION 'Invalid tokens: expected one for each of % names, got %',
        coalesce(cardinality(names)::text, 'null'), coalesce(cardinality(tokens)::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two arrays of the same length.';
  END IF;
  PERFORM elect.valid_name(a.name), elect.valid_token(a.token) FROM unnest(names, tokens) AS a (name, token);
  IF session IS NOT NULL THEN
    PERFORM elect.keep_session(session);
  END IF;
  PERFORM elect.raise_durability();
  in_epoch := (elect.epoch_at(clock_timestamp(), true)).epoch;

  BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.name COLLATE "C" AS name, a.token, a.place
      FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
    ),
    -- One lease that another transaction is at must not hold up the beat of all the others: it is passed over here.
    locked AS MATERIALIZED (
      SELECT l AS lease
      FROM elect.leases l
      WHERE (l.name, l.token) IN (SELECT a.name, a.token FROM asked a) AND l.holder IS NOT NULL
      FOR NO KEY UPDATE OF l SKIP LOCKED
    ),
    -- The count makes the server take every lock before it reads the clock.
    moment AS MATERIALIZED (
      SELECT count(*) AS locks, clock_timestamp() AS at FROM locked
    ),
    renewed AS (
      UPDATE elect.leases AS l
      SET version = l.version + 1, epoch = in_epoch, renewed_at = m.at, is_bound = l.is_bound AND l.epoch = in_epoch, ttl = coalesce(asked_ttl, (k.lease).ttl),
          expires_at = elect.extended_expiry(k.lease, m.at, coalesce(asked_ttl, (k.lease).ttl))
      FROM locked k CROSS JOIN moment m
      WHERE l.name = (k.lease).name AND (k.lease).session IS NULL AND renew_leases.session IS NULL AND elect.is_held(k.lease, m.at)
      RETURNING l AS lease
    )
    SELECT a.name, answer.granted, answer.holder, answer.token, answer.version, answer.metadata, answer.expires_in
    FROM asked a
    CROSS JOIN moment m
    LEFT JOIN renewed r ON (r.lease).name = a.name AND (r.lease).token = a.token
    LEFT JOIN locked k ON (k.lease).name = a.name AND (k.lease).token = a.token
    LEFT JOIN elect.leases seen ON seen.name = a.name
    CROSS JOIN LATERAL (
      SELECT CASE
        -- Kept by a session, or to be: each by itself, as its session is locked, too.
        WHEN (k.lease).session IS NOT NULL OR (k.lease).name IS NOT NULL AND renew_leases.session IS NOT NULL
          THEN elect.try_renewal(a.name, a.token, asked_ttl, renew_leases.session)
        ELSE elect.lease_answer(
          CASE
            WHEN (r.lease).name IS NOT NULL THEN true
            -- Of a session: that may have been renewed since this statement began.
            WHEN seen.token = a.token AND (seen.session IS NOT NULL OR elect.is_held(seen, m.at)) THEN NULL
            ELSE false
          END,
          CASE WHEN (r.lease).name IS NOT NULL THEN r.lease ELSE seen END,
          m.at)
      END AS answer
      OFFSET 0
    ) AS decided
    CROSS JOIN LATERAL (SELECT (decided.answer).*) AS answer
    ORDER BY a.place;
  EXCEPTION
    -- Where a row was written between the look and the lock, the server follows it to its newest version, and waits there
    -- though it was told to skip. Two of these statements could then wait for each other.
    WHEN lock_not_available OR deadlock_detected THEN
      RETURN QUERY
      SELECT a.name, answer.granted, answer.holder, answer.token, answer.version, answer.metadata, answer.expires_in
      FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
      CROSS JOIN LATERAL elect.try_renewal(a.name, a.token, asked_ttl, renew_leases.session) AS answer
      ORDER BY a.place;
  END;
END
$$;
COMMENT ON FUNCTION elect.renew_leases(text[], bigint[], interval, uuid) IS
  'Renews many leases in one statement: one row for each, in the order asked for, as renew_lease would answer. Never waits: granted is null where another transaction is at the row, which says nothing about the lease; ask again for that one. session: from now on they are kept by that; null: each by a ttl of its own. Errors: 22023 bad argument, LE004 the session has ended, and then none is renewed.';
