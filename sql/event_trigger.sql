-- Only a superuser may make one. Without it, TRUNCATE of a partition that is attached later is not refused until
-- protect_table or protect_from_truncate is called again; all other writes are.
DO $event_trigger$
BEGIN
  CREATE EVENT TRIGGER elect_protect_new_partitions ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA') EXECUTE FUNCTION elect.protect_new_partitions();
  COMMENT ON EVENT TRIGGER elect_protect_new_partitions IS
    'pg-elect: gives new partitions of protected tables the guard against TRUNCATE.';
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'Only a superuser may make event triggers: call elect.protect_from_truncate() after attaching partitions';
END
$event_trigger$;
