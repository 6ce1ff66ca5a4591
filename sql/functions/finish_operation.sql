CREATE OR REPLACE FUNCTION elect.finish_operation(lease text, token bigint, operation_key text, result jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM elect.settle_operation(lease, token, operation_key, 'done', elect.valid_outcome(result, 'result'));
END
$$;
COMMENT ON FUNCTION elect.finish_operation(text, bigint, text, jsonb) IS
  'Records, under the guard of the lease, that an operation is done, with its result. A second time it changes nothing. Errors: LE001 not held, LE003 not begun under this token, 22023 bad argument, 55P03 a change of its holder is under way for over a second.';
