CREATE OR REPLACE FUNCTION elect.schema_version() RETURNS integer
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT 1 $$;
COMMENT ON FUNCTION elect.schema_version() IS
  'Version of this schema: the number of the last migration it contains. An installer refuses a schema newer than itself.';
