CREATE OR REPLACE FUNCTION elect.protect_table(target regclass, lease text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(lease);
  relation pg_class;
  other text;
BEGIN
  SELECT * INTO relation FROM pg_class c WHERE c.oid = target;
  IF relation.relkind IS NULL OR relation.relkind NOT IN ('r', 'p') OR relation.relpersistence = 't' THEN
    RAISE EXCEPTION 'Invalid target: expected a table, got %', coalesce(target::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Views, foreign and temporary tables cannot be protected.';
  END IF;
  IF NOT pg_has_role(current_user, relation.relowner, 'USAGE') THEN
    RAISE EXCEPTION 'Table % can be protected only by its owner %', target, relation.relowner::regrole
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  -- Against another protection of the same table at the same moment.
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
  SELECT p.lease INTO other FROM elect.protected_tables p WHERE p.target = protect_table.target;
  IF other <> lease_name THEN
    RAISE EXCEPTION 'Table % is protected by lease % already', target, other
      USING ERRCODE = 'duplicate_object', HINT = format('SELECT elect.unprotect_table(%L);', target);
  END IF;

  IF other IS NULL AND relation.relkind = 'r' THEN
    EXECUTE format(
      'CREATE TRIGGER elect_guard BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION elect.guard_write(%L)',
      target, lease_name);
  ELSIF other IS NULL THEN
    -- For each row: of the triggers of a partitioned table only these come to its partitions, those of tomorrow included.
    EXECUTE format(
      'CREATE TRIGGER elect_guard BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION elect.guard_write(%L)',
      target, lease_name);
  END IF;
  PERFORM elect.protect_from_truncate(target);
END
$$;
COMMENT ON FUNCTION elect.protect_table(regclass, text) IS
  'From now on the table can be written (INSERT, UPDATE, DELETE, MERGE, COPY, TRUNCATE, cascades) only by a transaction that carries the current token of the lease: see assert_lease. Its partitions too, those of tomorrow as well. For its owner; with the same lease again it changes nothing. Errors: 22023 bad argument, 42501 not the owner, 42710 protected by another lease.';
