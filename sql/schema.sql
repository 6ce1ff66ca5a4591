DO $check$
DECLARE
  installed integer;
  schema_owner name;
  schema_oid oid;
BEGIN
  IF to_regprocedure('elect.schema_version()') IS NOT NULL THEN
    EXECUTE 'SELECT elect.schema_version()' INTO installed;
    RAISE EXCEPTION 'Schema elect is already installed, at version %', installed
      USING ERRCODE = 'duplicate_schema',
            HINT = 'Upgrades run through the migrations: see install() of the client.';
  END IF;

  -- Whoever owns a schema can replace what is in it, and what is in it runs with the rights of its owner.
  SELECT pg_get_userbyid(n.nspowner), n.oid INTO schema_owner, schema_oid FROM pg_namespace n WHERE n.nspname = 'elect';
  IF schema_owner <> current_user THEN
    RAISE EXCEPTION 'Schema elect belongs to %, not to the installing role %', schema_owner, current_user
      USING ERRCODE = 'insufficient_privilege',
            HINT = 'Drop that schema, or install as its owner.';
  END IF;
  -- What others have put there would be taken for a part of it. The table of the migrations is the installer's own.
  IF EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = schema_oid)
     OR EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = schema_oid AND c.relname NOT LIKE 'migrations%')
     OR EXISTS (SELECT FROM pg_operator o WHERE o.oprnamespace = schema_oid)
     OR EXISTS (
       SELECT FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a
       WHERE n.oid = schema_oid AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner)
  THEN
    RAISE EXCEPTION 'Schema elect is not empty, or others may create objects in it'
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Drop that schema first.';
  END IF;
END
$check$;

CREATE SCHEMA IF NOT EXISTS elect;
COMMENT ON SCHEMA elect IS
  'pg-elect: leader election, leases and locks. Call the functions; nothing here is written by hand.';


DO $roles$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('elect_owner', 'pg-elect: owns the functions and the tables; nobody logs in as it'),
      ('elect_user', 'pg-elect: may acquire, renew, release and guard leases'),
      ('elect_reader', 'pg-elect: may see who leads'),
      ('elect_admin', 'pg-elect: may also take leases away, prune, and give access to others')
    ) AS r (role_name, purpose)
  LOOP
    CONTINUE WHEN to_regrole(wanted.role_name) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted.role_name);
      EXECUTE format('COMMENT ON ROLE %I IS %L', wanted.role_name, wanted.purpose);
    EXCEPTION
      -- Roles belong to the whole server: an installer in another database may have been quicker.
      WHEN duplicate_object OR unique_violation THEN NULL;
      WHEN insufficient_privilege THEN
        RAISE NOTICE 'Role % cannot be created here: the installing role owns the functions, elect.grant_access() gives access', wanted.role_name;
        EXIT;
    END;
  END LOOP;
END
$roles$;
