CREATE OR REPLACE FUNCTION elect.protect_new_partitions() RETURNS event_trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed regclass;
BEGIN
  -- Runs at every CREATE and ALTER TABLE of the database (also within CREATE SCHEMA), with the rights of whoever does
  -- that: no name of this schema is looked up, so that it fails for nobody, unless a protected partitioned table is
  -- concerned.
  FOR changed IN
    SELECT DISTINCT c.objid::regclass
    FROM pg_event_trigger_ddl_commands() c
    WHERE c.classid = 'pg_class'::regclass AND c.object_type = 'table'
      AND EXISTS (
        SELECT FROM pg_partition_tree(c.objid::regclass) t
        JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = 'elect_guard'
        JOIN pg_proc p ON p.oid = g.tgfoid AND p.proname = 'guard_write'
        JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'elect')
  LOOP
    PERFORM elect.protect_from_truncate(changed);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.protect_new_partitions() IS
  'Event trigger: gives new partitions of protected tables the guard against TRUNCATE.';
