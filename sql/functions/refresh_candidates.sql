CREATE OR REPLACE FUNCTION elect.refresh_candidates(names text[], holders text[], backend integer DEFAULT NULL)
RETURNS SETOF elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  told CONSTANT integer := elect.valid_backend(backend);
  at timestamptz;
BEGIN
  IF names IS NULL OR holders IS NULL OR cardinality(names) <> cardinality(holders) THEN
    RAISE EXCEPTION 'Invalid holders: expected one for each of % names, got %',
        coalesce(cardinality(names)::text, 'null'), coalesce(cardinality(holders)::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two arrays of the same length.';
  END IF;
  PERFORM elect.valid_name(a.name), elect.valid_text(a.holder, 'holder') FROM unnest(names, holders) AS a (name, holder);
  at := clock_timestamp();
  WITH places AS MATERIALIZED (
    -- One that is being handed the lease, or is leaving, is not waited for: it hears of that in another way.
    SELECT c.lease, c.candidate FROM elect.candidates c
    WHERE (c.lease, c.candidate) IN (SELECT a.name, a.holder FROM unnest(names, holders) AS a (name, holder))
      -- What has run out is void: others have been told that they go before. Not is_waiting, as one that was written
      -- before the clock went back is to count anew.
      AND c.expires_at > at
    FOR UPDATE SKIP LOCKED
  )
  UPDATE elect.candidates c
  SET seen_at = at, expires_at = at + c.ttl, backend = told
  FROM places p WHERE c.lease = p.lease AND c.candidate = p.candidate;
  -- Candidates that have a place only look, and looking writes nothing: a lease that was written before the clock went back, and whose
  -- holder is dead, would stick. Shares are cut when their candidates ask.
  PERFORM elect.cut_to_clock(l.name) FROM elect.leases l WHERE l.name = ANY (names) AND elect.is_from_future(l, at);

  RETURN QUERY
  WITH line AS MATERIALIZED (
    SELECT c.lease, c.candidate, row_number() OVER (PARTITION BY c.lease ORDER BY c.priority DESC, c.arrival) - 1 AS ahead
    FROM elect.candidates c
    WHERE c.lease = ANY (names) AND elect.is_waiting(c, at)
  )
  SELECT answer.*
  FROM unnest(names, holders) WITH ORDINALITY AS a (name, holder, place)
  CROSS JOIN LATERAL elect.grant_of(a.name, a.holder) AS g
  LEFT JOIN line l ON l.lease = a.name AND l.candidate = a.holder
  CROSS JOIN LATERAL elect.share_answer(coalesce(g.holder = a.holder, false), g, at, l.ahead::integer) AS answer
  ORDER BY a.place;
END
$$;
COMMENT ON FUNCTION elect.refresh_candidates(text[], text[], integer) IS
  'Keeps places in line for another ttl, many in one statement, and tells for each, in the order asked for, how it stands, as get_candidacy does; rank null and not granted: it has no place any more, ask for the lease again. backend: which session is to be told of a hand-off from now on, as in acquire_lease. Never waits. Errors: 22023 bad argument, and then none is refreshed.';
