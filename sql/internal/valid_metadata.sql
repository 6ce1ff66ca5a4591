CREATE OR REPLACE FUNCTION elect.valid_metadata(metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF metadata IS NULL OR octet_length(metadata::text) <= 4096 THEN
    RETURN metadata;
  END IF;
  RAISE EXCEPTION 'Invalid metadata: expected at most 4096 bytes of JSON, got %', octet_length(metadata::text)
    USING ERRCODE = 'invalid_parameter_value',
          HINT = 'Metadata is for an address or a label; keep data in a table of your own.';
END
$$;
COMMENT ON FUNCTION elect.valid_metadata(jsonb) IS 'Internal. The metadata, or error 22023 if it is over 4096 bytes as text. Null is valid.';
