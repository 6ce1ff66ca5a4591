CREATE OR REPLACE FUNCTION elect.fail_operation(lease text, token bigint, operation_key text, error jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM elect.settle_operation(lease, token, operation_key, 'failed', elect.valid_outcome(error, 'error'));
END
$$;
COMMENT ON FUNCTION elect.fail_operation(text, bigint, text, jsonb) IS
  'Records, under the guard of the lease, that the work of an operation has failed, and why. Whether it is tried again is said at its next begin_operation. Errors: LE001 not held, LE003 not begun under this token, 22023 bad argument, 55P03 a change of its holder is under way for over a second.';
