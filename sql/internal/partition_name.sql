CREATE OR REPLACE FUNCTION elect.partition_name(name text, number integer) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN name || '/' || number::text;
COMMENT ON FUNCTION elect.partition_name(text, integer) IS 'Internal. The name of the lease that a partition is.';
