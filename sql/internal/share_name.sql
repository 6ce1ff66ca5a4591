CREATE OR REPLACE FUNCTION elect.share_name(name text, token bigint) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN name || '#' || token::text;
COMMENT ON FUNCTION elect.share_name(text, bigint) IS 'Internal. The name of the lease that a share is.';
