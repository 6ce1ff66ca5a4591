CREATE OR REPLACE FUNCTION elect.trigger_lease(guard pg_catalog.pg_trigger) RETURNS text
LANGUAGE sql STABLE
-- Arguments of a trigger are stored one behind the other, each with a zero byte at its end.
RETURN pg_catalog.convert_from(pg_catalog.substring((guard).tgargs, 1, pg_catalog.octet_length((guard).tgargs) - 1), pg_catalog.getdatabaseencoding());
COMMENT ON FUNCTION elect.trigger_lease(pg_catalog.pg_trigger) IS 'Internal. The lease that a guard trigger was made for.';
