CREATE OR REPLACE FUNCTION elect.prune_leases(older_than interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  age CONSTANT interval := elect.valid_age(older_than);
  at CONSTANT timestamptz := clock_timestamp();
  in_epoch CONSTANT elect.epochs := elect.epoch_at(at, true);
  pruned bigint;
  pruned_shared bigint;
  idle_shared text[];
BEGIN
  DELETE FROM elect.candidates c
  WHERE (c.lease, c.candidate) IN (
    SELECT p.lease, p.candidate FROM elect.candidates p
    WHERE NOT elect.is_waiting(p, clock_timestamp())
    FOR UPDATE SKIP LOCKED);
  -- Before their leases: none of those may go while its session could come back.
  DELETE FROM elect.sessions s
  WHERE s.session IN (SELECT o.session FROM elect.sessions o WHERE o.expires_at <= clock_timestamp() - age FOR UPDATE SKIP LOCKED);
  WITH orphans AS MATERIALIZED (
    SELECT o.session, o.name, o.token FROM elect.session_losses o
    WHERE NOT EXISTS (SELECT FROM elect.sessions s WHERE s.session = o.session)
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM elect.session_losses l USING orphans o WHERE (l.session, l.name, l.token) = (o.session, o.name, o.token);
  -- Rows that somebody is at are not idle: they are passed over.
  WITH idle AS MATERIALIZED (
    SELECT l.name FROM elect.leases l
    WHERE NOT elect.is_held(l, clock_timestamp())
      AND CASE
        WHEN l.session IS NULL OR l.holder IS NULL THEN l.expires_at
        WHEN elect.expiry_of(l) = '-infinity' THEN l.renewed_at
      END <= clock_timestamp() - age
      -- Without the row nobody would know for how long its last holder may trust a grant that was lost.
      AND (elect.is_settled(l, in_epoch, at) OR elect.grace_of(l, NULL, at, in_epoch) IS NULL)
      -- Without the row nobody would know since when it is vacant, and so whose turn it is.
      AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = l.name)
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM elect.leases l USING idle i WHERE l.name = i.name;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  -- First the lock, under which shares and places come, then the look for them: a statement of its own, as one that
  -- locks and looks at once looks at what was there before it had the lock.
  SELECT array_agg(i.name) INTO idle_shared
  FROM (SELECT s.name FROM elect.shared_leases s WHERE s.written_at <= clock_timestamp() - age FOR UPDATE SKIP LOCKED) AS i;
  DELETE FROM elect.shared_leases s
  WHERE s.name = ANY (idle_shared)
    AND NOT EXISTS (SELECT FROM elect.leases l WHERE l.part_of = s.name)
    AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = s.name);
  GET DIAGNOSTICS pruned_shared = ROW_COUNT;
  RETURN pruned + pruned_shared;
END
$$;
COMMENT ON FUNCTION elect.prune_leases(interval) IS
  'For operators: deletes the rows of leases, shared ones too, that have been vacant for that long, and places in line that have run out, and returns how many of the former. Tokens keep growing through it, unless the clock of the server then goes back by more than older_than. Errors: 22023 bad argument.';
