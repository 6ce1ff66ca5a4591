CREATE OR REPLACE FUNCTION elect.carried_tokens() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  carried jsonb;
BEGIN
  carried := nullif(current_setting('elect.tokens', true), '')::jsonb;
  RETURN CASE WHEN jsonb_typeof(carried) = 'object' THEN carried ELSE jsonb_build_object() END;
EXCEPTION
  -- Not what a guard has set: class 22, the ways in which text can fail to be JSON.
  WHEN data_exception THEN
    RETURN jsonb_build_object();
END
$$;
COMMENT ON FUNCTION elect.carried_tokens() IS
  'Internal. The tokens that this transaction claims, by lease name; empty if it carries none, or something that no guard has set.';
