CREATE OR REPLACE FUNCTION elect.protect_from_truncate(target regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  part regclass;
  lease_name text;
BEGIN
  -- Triggers on TRUNCATE do not come to partitions by themselves.
  FOR part, lease_name IN
    SELECT t.relid, elect.trigger_lease(g)
    -- The tree of a table that has no partitions and is none is empty.
    FROM (SELECT target AS relid UNION SELECT p.relid FROM pg_partition_tree(target) p) AS t
    JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = 'elect_guard' AND g.tgfoid = 'elect.guard_write()'::regprocedure
    WHERE NOT EXISTS (SELECT FROM pg_trigger h WHERE h.tgrelid = t.relid AND h.tgname = 'elect_guard_truncate')
  LOOP
    EXECUTE format(
      'CREATE TRIGGER elect_guard_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION elect.guard_write(%L)',
      part, lease_name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.protect_from_truncate(regclass) IS
  'Completes the protection of a protected table for TRUNCATE of its partitions. The server calls it for new partitions where a superuser has installed the schema; elsewhere call it, or protect_table again, after one was attached.';
