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
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  in_epoch bigint;
  kept_by elect.sessions;
  promised timestamptz;
BEGIN
  IF names IS NULL OR tokens IS NULL OR cardinality(names) <> cardinality(tokens) THEN
    RAISE EXCEPTION 'Invalid tokens: expected one for each of % names, got %',
        coalesce(cardinality(names)::text, 'null'), coalesce(cardinality(tokens)::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two arrays of the same length.';
  END IF;
  PERFORM elect.valid_name(a.name), elect.valid_token(a.token) FROM unnest(names, tokens) AS a (name, token);
  IF session IS NOT NULL THEN
    kept_by := elect.keep_session(session);
    -- As write_renewal: the session lasts for as long as any of them has been promised.
    SELECT max(l.expires_at) INTO promised
    FROM unnest(names, tokens) AS a (name, token) JOIN elect.leases l ON l.name = a.name AND l.token = a.token
    WHERE l.session IS NULL AND l.renewed_at <= clock_timestamp();
    IF promised > kept_by.expires_at THEN
      PERFORM elect.lock_session(session);
      UPDATE elect.sessions AS s SET renewed_at = clock_timestamp(), expires_at = greatest(s.expires_at, promised)
      WHERE s.session = kept_by.session
      RETURNING * INTO kept_by;
    END IF;
  END IF;
  IF NOT elect.is_durable() THEN
    PERFORM elect.raise_durability();
  END IF;
  in_epoch := (elect.epoch_at(clock_timestamp(), true)).epoch;

  -- In one statement, which writes each row and nothing else. It waits where another transaction is at a row, for 10 ms, and has a clock
  -- from before that: so only where more time is left to the lease.
  BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.name COLLATE "C" AS name, a.token, a.place
      FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
    ),
    renewed AS MATERIALIZED (
      UPDATE elect.leases AS l
      SET version = l.version + 1, epoch = in_epoch, renewed_at = a.at, is_bound = l.is_bound AND l.epoch = in_epoch,
          ttl = coalesce(kept_by.ttl, asked_ttl, l.ttl), session = renew_leases.session,
          expires_at = CASE WHEN renew_leases.session IS NULL THEN greatest(l.expires_at, a.at + coalesce(asked_ttl, l.ttl)) END
      -- Row by row: the moment before it is looked up. So the settings above: another join would read the clock for all of them first.
      FROM (SELECT asked.*, clock_timestamp() AS at FROM asked OFFSET 0) AS a
      WHERE l.name = a.name AND l.token = a.token AND l.holder IS NOT NULL
        -- One that never expires, or that a session keeps already, or whose clock went back: by itself.
        AND l.ttl IS NOT NULL AND l.session IS NULL
        -- Nor one that was promised more meanwhile, or that comes back.
        AND (renew_leases.session IS NULL OR l.expires_at <= kept_by.expires_at AND NOT EXISTS (
          SELECT FROM elect.session_losses o WHERE o.session = renew_leases.session AND o.name = l.name AND o.token = l.token))
        AND l.expires_at > a.at + interval '100 milliseconds' AND l.renewed_at <= a.at
      RETURNING a.place, l.name, l.holder, l.token, l.version, l.metadata,
        coalesce(l.expires_at - l.renewed_at, least(kept_by.expires_at - a.at, kept_by.expires_at - kept_by.renewed_at)) AS expires_in
    ),
    -- All others by themselves, after those above.
    decided AS MATERIALIZED (
      SELECT a.place, a.name, elect.try_renewal(a.name, a.token, asked_ttl, renew_leases.session) AS answer
      FROM asked a
      WHERE a.place NOT IN (SELECT r.place FROM renewed r)
    )
    SELECT e.name, e.granted, e.holder, e.token, e.version, e.metadata, e.expires_in
    FROM (
      SELECT r.place, r.name, true AS granted, r.holder, r.token, r.version, r.metadata, r.expires_in FROM renewed r
      UNION ALL
      SELECT d.place, d.name, (d.answer).granted, (d.answer).holder, (d.answer).token, (d.answer).version, (d.answer).metadata, (d.answer).expires_in
      FROM decided d
    ) AS e
    ORDER BY e.place;
  EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
      -- Nothing has been renewed yet. One lease that another transaction is at must not hold up the beat of all the others.
      RETURN QUERY
      SELECT a.name, answer.granted, answer.holder, answer.token, answer.version, answer.metadata, answer.expires_in
      FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
      CROSS JOIN LATERAL elect.try_renewal(a.name, a.token, asked_ttl, renew_leases.session) AS answer
      ORDER BY a.place;
  END;
END
$$;
COMMENT ON FUNCTION elect.renew_leases(text[], bigint[], interval, uuid) IS
  'Renews many leases in one statement: one row for each, in the order asked for, as renew_lease would answer. Does not wait for more than a moment: granted is null where another transaction is at the row, which says nothing about the lease; ask again for that one. session: from now on they are kept by that; null: each by a ttl of its own. Errors: 22023 bad argument, LE004 the session has ended, 55P03 it was in use for over 100 ms, and then none is renewed.';
