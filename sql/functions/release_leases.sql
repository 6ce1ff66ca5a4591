CREATE OR REPLACE FUNCTION elect.release_leases(names text[], tokens bigint[], session uuid DEFAULT NULL)
RETURNS TABLE (name text, released boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  asked CONSTANT integer := coalesce(cardinality(names), 0);
  plain CONSTANT text := '[1:' || asked || ']';
  tells CONSTANT boolean := pg_notification_queue_usage() <= 0.9;
  at timestamptz := clock_timestamp();
  are_usual boolean;
  -- By the place of the request: the row that this transaction has locked, and who holds it.
  rows tid[];
  holders text[];
  -- How many different ones it has locked.
  found_rows bigint;
  held_until timestamptz;
BEGIN
  -- Numbered from one, as they are read by their places.
  IF (array_dims(names) = plain AND array_dims(tokens) = plain) IS NOT TRUE THEN
    IF names IS NULL OR cardinality(tokens) IS DISTINCT FROM asked THEN
      RAISE EXCEPTION 'Invalid tokens: expected one for each of % names, got %',
          coalesce(cardinality(names)::text, 'null'), coalesce(cardinality(tokens)::text, 'null')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass two arrays of the same length.';
    END IF;
    SELECT array_agg(a.name ORDER BY a.place), array_agg(a.token ORDER BY a.place) INTO names, tokens
    FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place);
  END IF;

  BEGIN
    -- The rule of release_lease, for all that are plainly held: the row FOR UPDATE, without waiting, and after all of them the clock.
    -- The arguments are looked at on the way: one statement less.
    SELECT array_agg(l.row ORDER BY a.place), array_agg(l.holder ORDER BY a.place), count(DISTINCT l.row), min(l.expiry),
      bool_and((elect.is_name(names[a.place]) AND tokens[a.place] > 0) IS TRUE)
    INTO rows, holders, found_rows, held_until, are_usual
    FROM generate_series(1, asked) AS a (place)
    LEFT JOIN LATERAL (
      SELECT l.ctid AS row, l.holder, elect.expiry_of(l) AS expiry FROM elect.leases l
      WHERE l.name = names[a.place] AND l.token = tokens[a.place] AND l.holder IS NOT NULL AND l.part_of IS NULL
        AND (l.session IS NULL OR l.session = release_leases.session)
      FOR UPDATE SKIP LOCKED
    ) AS l ON true;
    IF NOT are_usual THEN
      PERFORM elect.valid_name(a.name), elect.valid_token(a.token) FROM unnest(names, tokens) AS a (name, token);
    END IF;
    at := clock_timestamp();

    -- In a statement after the locks: whoever stands in line has done so before them. No raise_durability, as in release_lease.
    IF found_rows = asked AND held_until > at THEN
      UPDATE elect.leases AS l
      SET holder = NULL, version = l.version + 1, renewed_at = at, expires_at = at, metadata = NULL, session = NULL
      FROM generate_series(1, asked) AS a (place)
      -- All or none. Usually nobody stands in any line: that is one look, not one for each.
      WHERE l.ctid = rows[a.place]
        AND (NOT EXISTS (SELECT FROM elect.candidates) OR NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = ANY (names)));
      IF FOUND THEN
        RETURN QUERY
        SELECT names[g.place],
          NOT tells OR (pg_notify('elect', g.news) IS NOT NULL AND pg_notify(elect.channel_of(names[g.place]), g.news) IS NOT NULL)
        FROM (
          SELECT a.place, elect.news_of('released', names[a.place], NULL, tokens[a.place], holders[a.place]) AS news
          FROM generate_series(1, asked) AS a (place) OFFSET 0
        ) AS g;
        RETURN;
      END IF;
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.name COLLATE "C" AS name, a.token, a.row, a.holder, a.place,
        row_number() OVER (PARTITION BY a.name COLLATE "C" ORDER BY a.place) = 1 AS is_first
      FROM unnest(names, tokens, rows, holders) WITH ORDINALITY AS a (name, token, row, holder, place)
    ),
    vacated AS (
      UPDATE elect.leases AS l
      SET holder = NULL, version = l.version + 1, renewed_at = at, expires_at = at, metadata = NULL, session = NULL
      FROM asked a
      WHERE l.ctid = a.row AND a.is_first AND elect.is_held(l, at) AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = a.name)
      RETURNING a.place, l.name, elect.news_of('released', l.name, NULL, l.token, a.holder) AS news
    ),
    told AS MATERIALIZED (
      SELECT v.place, NOT tells OR (pg_notify('elect', v.news) IS NOT NULL AND pg_notify(elect.channel_of(v.name), v.news) IS NOT NULL) AS is_told
      FROM vacated v
    )
    -- All others by themselves, after those above: with a line, a share, in use, or not held any more.
    SELECT a.name, CASE WHEN t.place IS NULL THEN elect.try_release(a.name, a.token, release_leases.session) ELSE t.is_told END
    FROM asked a LEFT JOIN told t ON t.place = a.place
    ORDER BY a.place;
  EXCEPTION
    -- As in acquire_leases: it was made to wait.
    WHEN lock_not_available OR deadlock_detected THEN
      RETURN QUERY
      SELECT a.name, elect.try_release(a.name, a.token, release_leases.session)
      FROM unnest(names, tokens) WITH ORDINALITY AS a (name, token, place)
      ORDER BY a.place;
  END;
END
$$;
COMMENT ON FUNCTION elect.release_leases(text[], bigint[], uuid) IS
  'Gives back many leases in one statement: one row for each, in the order asked for, as release_lease would answer. Does not wait for whoever is at a row: released is then null, which says nothing about the lease; release that one by itself. session: the one that keeps them, as in release_lease. Errors: 22023 bad argument, and then none is given back.';
