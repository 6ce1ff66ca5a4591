CREATE OR REPLACE FUNCTION elect.prune_operations(older_than interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  age CONSTANT interval := elect.valid_age(older_than);
  pruned bigint;
BEGIN
  -- What is begun is never pruned: its idempotency key is all that keeps it from happening twice.
  DELETE FROM elect.operations o WHERE o.settled_at <= clock_timestamp() - age;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END
$$;
COMMENT ON FUNCTION elect.prune_operations(interval) IS
  'For operators: deletes the records of operations that were done or failed that long ago, and returns how many. One that is called for again after that happens again: keep them as long as a repetition can come. Errors: 22023 bad argument.';
