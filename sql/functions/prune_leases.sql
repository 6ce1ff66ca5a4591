CREATE OR REPLACE FUNCTION elect.prune_leases(older_than interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  age CONSTANT interval := elect.valid_age(older_than);
  pruned bigint;
BEGIN
  -- Rows that somebody is at are not idle: they are passed over.
  WITH idle AS MATERIALIZED (
    SELECT l.name FROM elect.leases l
    WHERE NOT elect.is_held(l, clock_timestamp()) AND l.expires_at <= clock_timestamp() - age
    FOR UPDATE SKIP LOCKED
  )
  DELETE FROM elect.leases l USING idle i WHERE l.name = i.name;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END
$$;
COMMENT ON FUNCTION elect.prune_leases(interval) IS
  'For operators: deletes the rows of leases that have been vacant for that long, and returns how many. Tokens keep growing through it, unless the clock of the server then goes back by more than older_than. Errors: 22023 bad argument.';
