CREATE OR REPLACE FUNCTION elect.acquire_leases(
  names text[], holders text[], ttls interval[], metadata_list jsonb[] DEFAULT NULL, session uuid DEFAULT NULL
) RETURNS TABLE (
  name text, granted boolean, holder text, token bigint, version bigint, metadata jsonb, expires_in interval, rank integer
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  asked CONSTANT integer := coalesce(cardinality(names), 0);
  plain CONSTANT text := '[1:' || asked || ']';
  tells CONSTANT boolean := pg_notification_queue_usage() <= 0.9;
  at timestamptz := clock_timestamp();
  asked_ttls interval[];
  are_usual boolean;
  in_epoch elect.epochs;
  kept_by elect.sessions;
  session_ttl interval;
  -- What is left to them of the session that is to keep them; null: each has a ttl of its own.
  session_lasts interval;
  -- By the place of the request: the row that this transaction has locked and found vacant, and what is in it, or whether there is none yet.
  rows tid[];
  previous text[];
  last_tokens bigint[];
  versions bigint[];
  epochs bigint[];
  are_new boolean[];
  -- How many different ones it has locked.
  free bigint;
  least_token bigint;
  may_grant boolean := true;
BEGIN
  -- Numbered from one, as they are read by their places.
  IF (array_dims(names) = plain AND array_dims(holders) = plain AND array_dims(ttls) = plain
     AND (metadata_list IS NULL OR array_dims(metadata_list) = plain)) IS NOT TRUE THEN
    IF names IS NULL OR cardinality(holders) IS DISTINCT FROM asked OR cardinality(ttls) IS DISTINCT FROM asked
       OR (metadata_list IS NOT NULL AND cardinality(metadata_list) <> asked) THEN
      RAISE EXCEPTION 'Invalid holders, ttls or metadata_list: expected one for each of % names, got %, % and %',
          coalesce(cardinality(names)::text, 'null'), coalesce(cardinality(holders)::text, 'null'),
          coalesce(cardinality(ttls)::text, 'null'), coalesce(cardinality(metadata_list)::text, 'null')
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass arrays of the same length; metadata_list may be null.';
    END IF;
    SELECT array_agg(a.name ORDER BY a.place), array_agg(a.holder ORDER BY a.place), array_agg(a.ttl ORDER BY a.place),
      array_agg(a.metadata ORDER BY a.place)
    INTO names, holders, ttls, metadata_list
    FROM unnest(names, holders, ttls, metadata_list) WITH ORDINALITY AS a (name, holder, ttl, metadata, place);
  END IF;
  asked_ttls := ttls;
  IF session IS NOT NULL THEN
    session_ttl := (elect.valid_session(session)).ttl;
  END IF;
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RETURN QUERY
    SELECT a.name, g.* FROM unnest(names, holders, ttls, metadata_list) WITH ORDINALITY AS a (name, holder, ttl, metadata, place)
    CROSS JOIN LATERAL elect.acquire_lease(a.name, a.holder, a.ttl, a.metadata, session => acquire_leases.session) AS g
    ORDER BY a.place;
    RETURN;
  END IF;

  BEGIN
    -- The rule of acquire_lease, for all that look vacant: the advisory lock of the name, then the row, FOR UPDATE and without waiting,
    -- and only after all of them the clock. A name that comes again is decided after the first: one row, locked twice. The arguments
    -- are looked at on the way: one statement less.
    SELECT array_agg(l.row ORDER BY a.place), array_agg(l.holder ORDER BY a.place), array_agg(l.token ORDER BY a.place),
      array_agg(l.version ORDER BY a.place), array_agg(l.epoch ORDER BY a.place), count(DISTINCT l.row),
      bool_and(elect.is_usual(names[a.place], holders[a.place], ttls[a.place]) IS TRUE)
    INTO rows, previous, last_tokens, versions, epochs, free, are_usual
    FROM generate_series(1, asked) AS a (place)
    LEFT JOIN LATERAL (
      SELECT l.ctid AS row, l.holder, l.token, l.version, l.epoch FROM elect.leases l
      WHERE l.name = names[a.place]
        -- In a CASE, as else the server may take the lock first.
        AND CASE
          WHEN l.session IS NULL AND NOT elect.is_held(l, at) AND l.part_of IS NULL
            THEN pg_try_advisory_xact_lock(elect.advisory_key(l.name))
        END
      FOR UPDATE SKIP LOCKED
    ) AS l ON true;
    IF NOT are_usual OR metadata_list IS NOT NULL OR session IS NOT NULL THEN
      SELECT array_agg(CASE
          WHEN elect.valid_name(a.name) IS NOT NULL AND elect.valid_text(a.holder, 'holder') IS NOT NULL
            AND (a.metadata IS NULL OR elect.valid_metadata(a.metadata) IS NOT NULL) THEN coalesce(session_ttl, elect.valid_ttl(a.ttl))
        END ORDER BY a.place)
      INTO asked_ttls
      FROM unnest(names, holders, ttls, metadata_list) WITH ORDINALITY AS a (name, holder, ttl, metadata, place);
    END IF;

    -- All are vacant rows of the epoch in force, and so in no grace, as is usual.
    IF free = asked AND epochs[1] = ALL (epochs) AND elect.is_in_force(epochs[1]) THEN
      in_epoch.epoch := epochs[1];
    ELSE
      in_epoch := elect.epoch_at(at, true);
      are_new := ARRAY(
        SELECT CASE
          WHEN a.row IS NULL AND in_epoch.first_seen_at + interval '24 hours' <= at
            AND NOT EXISTS (SELECT FROM elect.leases l WHERE l.name = a.name)
            THEN pg_try_advisory_xact_lock(elect.advisory_key(a.name))
          ELSE false
        END
        FROM unnest(names, rows) WITH ORDINALITY AS a (name, row, place)
        ORDER BY a.place);
      may_grant := true = ANY (are_new) OR coalesce(in_epoch.epoch = ANY (epochs), false)
        OR free > 0 AND in_epoch.first_seen_at + interval '24 hours' <= at;
    END IF;
    -- Where all are in their grace, that is the answer, whatever has become of the session.
    IF session IS NOT NULL AND may_grant THEN
      kept_by := elect.keep_session(session);
    END IF;
    -- Not earlier than the moment at which they were found vacant, also where the clock has gone back since.
    at := greatest(at, clock_timestamp());

    IF are_new IS NULL THEN
      least_token := elect.next_token(NULL, at, in_epoch.epoch);
      UPDATE elect.leases AS l
      SET holder = holders[a.place], token = greatest(l.token + 1, least_token), version = l.version + 1,
          acquired_at = at, renewed_at = at, expires_at = CASE WHEN acquire_leases.session IS NULL THEN at + asked_ttls[a.place] END,
          ttl = asked_ttls[a.place], metadata = metadata_list[a.place], is_bound = false, session = acquire_leases.session
      FROM generate_series(1, asked) AS a (place)
      -- All or none. In a statement after the locks, so that it sees all who stood in line before them. Usually nobody stands in any:
      -- that is one look, not one for each.
      WHERE l.ctid = rows[a.place]
        AND (NOT EXISTS (SELECT FROM elect.candidates) OR NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = ANY (names)));
      IF FOUND THEN
        IF NOT elect.is_durable() THEN
          PERFORM elect.raise_durability();
        END IF;
        session_lasts := least(kept_by.expires_at - at, kept_by.ttl);
        -- From what was read under the locks: as the rows are now, but without another look at them.
        RETURN QUERY
        SELECT names[g.place],
          NOT tells OR (pg_notify('elect', g.news) IS NOT NULL AND pg_notify(elect.channel_of(names[g.place]), g.news) IS NOT NULL),
          holders[g.place], greatest(last_tokens[g.place] + 1, least_token), versions[g.place] + 1, metadata_list[g.place],
          coalesce(session_lasts, asked_ttls[g.place]), NULL::integer
        FROM (
          SELECT a.place, elect.news_of(CASE WHEN previous[a.place] IS NULL THEN 'granted' ELSE 'expired' END, names[a.place], holders[a.place],
            greatest(last_tokens[a.place] + 1, least_token), previous[a.place]) AS news
          FROM generate_series(1, asked) AS a (place) OFFSET 0
        ) AS g;
        RETURN;
      END IF;
    END IF;

    session_lasts := least(kept_by.expires_at - at, kept_by.ttl);
    IF may_grant THEN
      PERFORM elect.raise_durability();
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
      SELECT a.name COLLATE "C" AS name, a.holder, a.ttl, a.metadata, a.row, a.previous, a.place,
        a.is_new AND a.is_first AND NOT EXISTS (SELECT FROM elect.shared_leases s WHERE s.name = a.name) AS is_new,
        NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = a.name) AS nobody_waits,
        a.is_first
      FROM (
        SELECT a.*, row_number() OVER (PARTITION BY a.name COLLATE "C" ORDER BY a.place) = 1 AS is_first
        FROM unnest(names, holders, asked_ttls, metadata_list, rows, previous, are_new) WITH ORDINALITY
          AS a (name, holder, ttl, metadata, row, previous, is_new, place)
      ) AS a
    ),
    again AS (
      UPDATE elect.leases AS l
      SET holder = a.holder, token = elect.next_token(l.token, at, in_epoch.epoch), version = l.version + 1, epoch = in_epoch.epoch,
          acquired_at = at, renewed_at = at, expires_at = CASE WHEN acquire_leases.session IS NULL THEN at + a.ttl END,
            ttl = a.ttl, metadata = a.metadata, is_bound = false, session = acquire_leases.session
      FROM asked a
      WHERE l.ctid = a.row AND a.is_first AND a.nobody_waits AND elect.is_settled(l, in_epoch, at)
      RETURNING l.name, a.place, l.token, l.version, a.previous
    ),
    anew AS (
      INSERT INTO elect.leases AS l (name, holder, token, version, epoch, acquired_at, renewed_at, expires_at, ttl, metadata, session)
      SELECT a.name, a.holder, t.token, t.token, in_epoch.epoch, at, at,
        CASE WHEN acquire_leases.session IS NULL THEN at + a.ttl END, a.ttl, a.metadata, acquire_leases.session
      FROM asked a CROSS JOIN elect.next_token(NULL, at, in_epoch.epoch) AS t (token)
      WHERE a.is_new AND a.nobody_waits
      -- Written by hand at the same moment: decided by itself below.
      ON CONFLICT (name) DO NOTHING
      RETURNING l.name, l.token, l.version
    ),
    granted AS MATERIALIZED (
      SELECT a.place, a.holder, g.token, g.version, a.metadata, coalesce(session_lasts, a.ttl) AS ttl,
        NOT tells OR (pg_notify('elect', n.news) IS NOT NULL AND pg_notify(elect.channel_of(a.name), n.news) IS NOT NULL) AS is_told
      FROM (
        SELECT u.place, u.token, u.version FROM again u
        UNION ALL
        SELECT a.place, i.token, i.version FROM anew i JOIN asked a ON a.name = i.name AND a.is_new
      ) AS g
      JOIN asked a ON a.place = g.place
      CROSS JOIN LATERAL (
        SELECT elect.news_of(CASE WHEN a.previous IS NULL THEN 'granted' ELSE 'expired' END, a.name, a.holder, g.token, a.previous) AS news
        OFFSET 0) AS n
    ),
    -- All others by themselves, after those above: their own already, in their grace, with a line, changing hands, or asked for twice.
    decided AS MATERIALIZED (
      SELECT a.place, a.name, g.is_told, g.holder, g.token, g.version, g.metadata, g.ttl,
        CASE
          WHEN g.place IS NOT NULL THEN NULL
          -- Refused by a plain read; what is asked for again sees what the first has done.
          WHEN a.is_first AND elect.is_held(l, at) AND l.holder <> a.holder AND NOT elect.is_from_future(l, at) THEN elect.lease_answer(false, l, at)
          ELSE elect.acquire_lease(a.name, a.holder, a.ttl, a.metadata, session => acquire_leases.session)
        END AS answer
      FROM asked a
      LEFT JOIN granted g ON g.place = a.place
      LEFT JOIN elect.leases l ON l.name = a.name
      ORDER BY a.place
    )
    SELECT d.name, coalesce(d.is_told, (d.answer).granted), coalesce(d.holder, (d.answer).holder), coalesce(d.token, (d.answer).token),
      coalesce(d.version, (d.answer).version), coalesce(d.metadata, (d.answer).metadata), coalesce(d.ttl, (d.answer).expires_in), (d.answer).rank
    FROM decided d
    ORDER BY d.place;
  EXCEPTION
    -- Says which of them it is. If none is, it is about a name that another thing has.
    WHEN invalid_parameter_value THEN
      PERFORM elect.invalid_request(names, holders, ttls, metadata_list);
      RAISE;
    -- Where a row was written between the look and the lock, the server follows it to its newest version, and waits there though it was
    -- told to skip. Nothing has been granted then.
    WHEN lock_not_available OR deadlock_detected THEN
      RETURN QUERY
      SELECT a.name, g.* FROM unnest(names, holders, ttls, metadata_list) WITH ORDINALITY AS a (name, holder, ttl, metadata, place)
      CROSS JOIN LATERAL elect.acquire_lease(a.name, a.holder, a.ttl, a.metadata, session => acquire_leases.session) AS g
      ORDER BY a.place;
  END;
END
$$;
COMMENT ON FUNCTION elect.acquire_leases(text[], text[], interval[], jsonb[], uuid) IS
  'Asks for many leases in one statement: one row for each, in the order asked for, as acquire_lease (without wait) would answer each of them, one after the other. They are granted name by name: some may be refused and others not. Never waits for a lock. metadata_list null: none has any. Each ttl 100 ms to 24 h. session: what keeps them, in place of a ttl of their own (open_session). Every grant holds an entry of the server''s lock table until the commit: ask for a few hundred at a time. Errors: 22023 bad argument, with its place, LE004 the session has ended, 55P03 a session that keeps one of them was in use for over 100 ms, and then none is granted.';
