CREATE OR REPLACE FUNCTION elect.enter_barrier(
  name text, holder text, parties integer, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL
) RETURNS TABLE (lease text, token bigint, expires_in interval, opened boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  shared_name CONSTANT text := elect.valid_shared_name(name);
  needed CONSTANT integer := elect.valid_count(parties, 'parties', 1);
  shared elect.shared_leases;
  share record;
BEGIN
  SELECT * INTO share FROM elect.acquire_share(shared_name, holder, ttl => ttl, metadata => metadata) a;
  SELECT * INTO shared FROM elect.shared_leases s WHERE s.name = shared_name;
  IF NOT share.granted AND elect.share_grace(shared, ttl, clock_timestamp()) IS NOT NULL THEN
    RAISE EXCEPTION 'Barrier % is in its grace after a fail-over, for another %', shared_name, share.expires_in
      USING ERRCODE = 'lock_not_available', HINT = 'Try again after that.';
  ELSIF NOT share.granted THEN
    RAISE EXCEPTION 'Shared lease % is not open to everybody: a barrier needs a name of its own', shared_name
      USING ERRCODE = 'invalid_parameter_value', HINT = 'One name is one thing: choose another.';
  END IF;
  shared := elect.lock_shared(shared_name);
  -- Those who came after the last opening gather for the next one.
  IF (SELECT count(*) >= needed FROM elect.leases l
      WHERE l.part_of = shared_name AND l.token > coalesce(shared.opened_token, 0) AND elect.is_held(l, clock_timestamp()))
  THEN
    UPDATE elect.shared_leases AS s SET opened_token = s.token, written_at = clock_timestamp()
    WHERE s.name = shared_name
    RETURNING * INTO shared;
    PERFORM elect.announce('opened', shared_name, NULL, shared.opened_token, NULL);
  END IF;
  RETURN QUERY SELECT share.lease, share.token, share.expires_in, share.token <= coalesce(shared.opened_token, 0);
END
$$;
COMMENT ON FUNCTION elect.enter_barrier(text, text, integer, interval, jsonb) IS
  'Comes to a barrier, or says again that it is there: opened tells whether that many parties have come together. Each has a share: renew it while waiting, release it to leave. Those who leave together wait until get_shares shows none up to their opened_token (get_shared). One whose share runs out before the opening is not counted. Errors: 22023 bad argument, 55P03 another transaction was at it for over a second, or it is in the grace after a fail-over (elect.epochs).';
