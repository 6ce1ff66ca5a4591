CREATE OR REPLACE FUNCTION elect.valid_metadata(metadata jsonb) RETURNS jsonb
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_metadata(metadata) THEN metadata
  ELSE elect.invalid_argument('metadata: expected at most 4096 bytes of JSON', octet_length(metadata::text)::text,
    'Metadata is for an address or a label; keep data in a table of your own.')::jsonb
END;
COMMENT ON FUNCTION elect.valid_metadata(jsonb) IS 'Internal. The metadata, or error 22023 if it is over 4096 bytes as text. Null is valid.';
