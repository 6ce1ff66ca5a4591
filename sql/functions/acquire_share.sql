CREATE OR REPLACE FUNCTION elect.acquire_share(
  name text, holder text, exclusive boolean DEFAULT false, capacity integer DEFAULT NULL,
  ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL, wait boolean DEFAULT false, priority integer DEFAULT 0,
  backend integer DEFAULT NULL
) RETURNS elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  shared_name CONSTANT text := elect.valid_shared_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  is_exclusive CONSTANT boolean := elect.valid_choice(exclusive, 'exclusive');
  first_capacity CONSTANT integer := elect.valid_count(capacity, 'capacity', 0, true);
  asked_ttl CONSTANT interval := elect.valid_ttl(ttl);
  asked_metadata CONSTANT jsonb := elect.valid_metadata(metadata);
  is_eligible CONSTANT boolean := priority IS NOT NULL;
  stands_in_line CONSTANT boolean := elect.valid_choice(wait, 'wait') AND is_eligible;
  told CONSTANT integer := elect.valid_backend(backend);
  shared elect.shared_leases;
  share elect.leases;
  at timestamptz;
  place integer;
  grace_until timestamptz;
  answer elect.share_grant;
BEGIN
  -- A plain read first: whoever only tries and finds no room locks and writes nothing.
  SELECT * INTO shared FROM elect.shared_leases s WHERE s.name = shared_name;
  share := elect.grant_of(shared_name, contender);
  IF (NOT stands_in_line AND share.name IS NOT NULL AND share.holder <> contender AND NOT elect.has_room(shared, is_exclusive, clock_timestamp()))
     OR NOT is_eligible THEN
    RETURN elect.share_answer(false, share, clock_timestamp());
  END IF;

  IF share.holder = contender AND share.part_of IS NOT NULL THEN
    -- Before lock_shared, as a release does it: the other way round the two could wait for each other.
    share := elect.lock_lease(share.name, share.token);
  ELSE
    share := NULL;
  END IF;
  at := clock_timestamp();
  IF NOT elect.is_held(share, at) THEN
    shared := elect.lock_shared(shared_name, first_capacity);
    at := clock_timestamp();
    share := elect.grant_of(shared_name, contender);
    IF share.holder = contender THEN
      -- Granted at this very moment.
      SELECT * INTO share FROM elect.leases l WHERE l.name = share.name FOR NO KEY UPDATE SKIP LOCKED;
      IF share.name IS NULL THEN
        RAISE EXCEPTION 'Another transaction is at the share of % that % has', shared_name, contender
          USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
      END IF;
      at := clock_timestamp();
    END IF;
  END IF;
  IF elect.is_held(share, at) AND share.holder = contender THEN
    -- Its own already: an earlier answer was lost.
    IF is_exclusive AND NOT EXISTS (SELECT FROM elect.shared_leases s WHERE s.name = shared_name AND s.exclusive_token = share.token) THEN
      RAISE EXCEPTION 'Invalid exclusive: expected false, as % has a share of % that is not exclusive, got true', contender, shared_name
        USING ERRCODE = 'invalid_parameter_value', HINT = format('Release %s first.', share.name);
    END IF;
    grace_until := elect.grace_of(share, asked_ttl, at, elect.epoch_at(at, true));
    IF grace_until IS NOT NULL THEN
      answer.granted := false;
      answer.expires_in := grace_until - at;
      RETURN answer;
    END IF;
    share := elect.write_renewal(share, at, asked_ttl, asked_metadata);
    RETURN elect.share_answer(true, share, at);
  END IF;
  place := elect.rank_in_line(shared_name, contender, priority, at);
  grace_until := elect.share_grace(shared, asked_ttl, at);
  IF grace_until IS NULL THEN
    PERFORM elect.sweep_shares(shared_name, at);
  END IF;
  IF place = 0 AND grace_until IS NULL AND elect.has_room(shared, is_exclusive) THEN
    share := elect.write_share(shared, at, contender, is_exclusive, asked_ttl, asked_metadata);
    -- Room may have come free for several, and only the first of them has asked.
    PERFORM elect.admit(shared_name, at);
    RETURN elect.share_answer(true, share, at);
  END IF;
  IF stands_in_line THEN
    place := elect.stand_in_line(shared_name, contender, priority, is_exclusive, asked_ttl, asked_metadata, told, at);
    UPDATE elect.shared_leases s SET written_at = at WHERE s.name = shared_name;
  ELSE
    place := NULL;
  END IF;
  answer := elect.share_answer(false, elect.grant_of(shared_name, contender), at, place);
  IF grace_until IS NOT NULL THEN
    answer.expires_in := grace_until - at;
  END IF;
  RETURN answer;
END
$$;
COMMENT ON FUNCTION elect.acquire_share(text, text, boolean, integer, interval, jsonb, boolean, integer, integer) IS
  'Grants a share of what several may hold at once, if there is room and nobody who waits goes before. exclusive: to be the only holder, as the writer of a read-write lock. capacity: how many there may be (null: any number), kept from the first call on, see set_capacity. The share is the lease named in the answer, with a token of its own: renew, guard and release it as any other. Refused: granted is false, and the row shows the share that runs out first, and in how long it is worth asking again: after a fail-over (elect.epochs) not before the grace is over. A holder that has a share already is granted that one again; one that is not exclusive does not become so: 22023. wait, priority, backend: as in acquire_lease. Tokens grow from share to share. Errors: 22023 bad argument, 55P03 another transaction was at it for over a second.';
