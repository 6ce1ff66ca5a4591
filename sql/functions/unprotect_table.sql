CREATE OR REPLACE FUNCTION elect.unprotect_table(target regclass) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  guard record;
  found_any boolean := false;
BEGIN
  -- A partition is protected with its parent: taking away half of that would leave it open to TRUNCATE.
  IF NOT EXISTS (
    SELECT FROM pg_trigger g
    WHERE g.tgrelid = target AND g.tgname = 'elect_guard' AND g.tgparentid = 0 AND g.tgfoid = 'elect.guard_write()'::regprocedure)
  THEN
    RETURN false;
  END IF;
  FOR guard IN
    SELECT g.tgname, t.relid::regclass AS relation
    -- The tree of a table that has no partitions and is none is empty.
    FROM (SELECT target AS relid UNION SELECT p.relid FROM pg_partition_tree(target) p) AS t
    JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgfoid = 'elect.guard_write()'::regprocedure
    -- Those that came to a partition from its parent go with the parent's.
    WHERE g.tgparentid = 0
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', guard.tgname, guard.relation);
    found_any := true;
  END LOOP;
  RETURN found_any;
END
$$;
COMMENT ON FUNCTION elect.unprotect_table(regclass) IS
  'Undoes protect_table. For the owner of the table (42501). False if it was not protected.';
