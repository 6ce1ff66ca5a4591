-- Ownership and rights, for all objects of the schema at once, so that none can be forgotten.
DO $ownership$
DECLARE
  object record;
BEGIN
  IF to_regrole('elect_owner') IS NULL THEN
    RETURN;
  END IF;
  BEGIN
    IF NOT pg_has_role(current_user, 'elect_owner', 'USAGE') THEN
      EXECUTE format('GRANT elect_owner TO %I', current_user);
    END IF;
    BEGIN
      ALTER SCHEMA elect OWNER TO elect_owner;
    EXCEPTION
      -- Whoever is no superuser may not, unless elect_owner may create schemas in this database.
      WHEN insufficient_privilege THEN
        GRANT CREATE ON SCHEMA elect TO elect_owner;
        -- grant_access runs as elect_owner and passes this on.
        GRANT USAGE ON SCHEMA elect TO elect_owner WITH GRANT OPTION;
    END;
    FOR object IN
      SELECT 'TYPE' AS kind, t.oid::regtype::text AS signature
      FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
      WHERE t.typnamespace = 'elect'::regnamespace AND c.relkind = 'c'
      UNION ALL
      -- The table of the migrations stays with whoever runs them.
      SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text
      FROM pg_class c
      WHERE c.relnamespace = 'elect'::regnamespace AND c.relkind IN ('r', 'v', 'S') AND c.relname <> 'migrations'
        -- That of an identity column goes with its table.
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass)
      UNION ALL
      SELECT 'FUNCTION', p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'elect'::regnamespace
    LOOP
      EXECUTE format('ALTER %s %s OWNER TO elect_owner', object.kind, object.signature);
    END LOOP;
  EXCEPTION
    WHEN insufficient_privilege THEN
      RAISE NOTICE 'The installing role % may not hand its objects to elect_owner and keeps them', current_user;
  END;
END
$ownership$;

-- To see who holds up a takeover, and to end them: get_guards and force_release do without where this may not be given.
DO $monitoring$
BEGIN
  IF to_regrole('elect_owner') IS NOT NULL
     AND NOT (pg_has_role('elect_owner', 'pg_read_all_stats', 'MEMBER') AND pg_has_role('elect_owner', 'pg_signal_backend', 'MEMBER')) THEN
    GRANT pg_read_all_stats, pg_signal_backend TO elect_owner;
  END IF;
EXCEPTION
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'elect_owner may not see or end the sessions of others: force_release(…, terminate => true) will not work';
  WHEN unique_violation OR internal_error THEN
    -- An installer in another database gave it the same roles at the same moment.
    NULL;
END
$monitoring$;

-- From PUBLIC, and from whomever the default privileges of this database give rights on everything new.
DO $closing$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT 'SCHEMA' AS kind, 'elect' AS signature, a.grantee
    FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a
    WHERE n.nspname = 'elect' AND a.grantee <> n.nspowner AND a.grantee IS DISTINCT FROM to_regrole('elect_owner')::oid
    UNION
    SELECT 'FUNCTION', p.oid::regprocedure::text AS signature, a.grantee
    FROM pg_proc p CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'elect'::regnamespace AND a.grantee <> p.proowner
    UNION
    SELECT 'TABLE', c.oid::regclass::text, a.grantee
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
    WHERE c.relnamespace = 'elect'::regnamespace AND c.relkind IN ('r', 'v', 'S') AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM %s', given.kind, given.signature,
      CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END);
  END LOOP;
END
$closing$;

DO $grants$
BEGIN
  PERFORM elect.grant_access(r.role_name::regrole, r.kind)
  FROM (VALUES ('elect_user', 'user'), ('elect_reader', 'reader'), ('elect_admin', 'admin')) AS r (role_name, kind)
  WHERE to_regrole(r.role_name) IS NOT NULL;
END
$grants$;
