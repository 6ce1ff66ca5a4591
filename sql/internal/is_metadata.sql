CREATE OR REPLACE FUNCTION elect.is_metadata(metadata jsonb) RETURNS boolean
LANGUAGE sql STABLE
RETURN metadata IS NULL OR octet_length(metadata::text) <= 4096;
COMMENT ON FUNCTION elect.is_metadata(jsonb) IS 'Internal. Whether it can be the metadata of a lease: at most 4096 bytes as text, or null.';
