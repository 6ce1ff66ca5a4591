CREATE OR REPLACE FUNCTION elect.end_wait(lease text, candidate text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM elect.candidates c WHERE c.lease = end_wait.lease AND c.candidate = end_wait.candidate;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION elect.end_wait(text, text) IS 'Internal. Takes a candidate out of the line. False if it was not in it.';
