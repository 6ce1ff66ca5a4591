CREATE OR REPLACE FUNCTION elect.settle_operation(lease text, token bigint, operation_key text, state text, outcome jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  key CONSTANT text := elect.valid_text(operation_key, 'operation_key');
BEGIN
  PERFORM elect.ensure_guard(lease, token);
  PERFORM elect.raise_durability();
  UPDATE elect.operations AS o
  SET state = settle_operation.state, settled_at = clock_timestamp(),
      result = CASE WHEN settle_operation.state = 'done' THEN outcome END,
      error = CASE WHEN settle_operation.state = 'failed' THEN outcome END
  WHERE o.lease = settle_operation.lease AND o.operation_key = key AND o.token = settle_operation.token AND o.state = 'begun';
  IF FOUND OR EXISTS (
    -- The answer to the first time was lost.
    SELECT FROM elect.operations o
    WHERE o.lease = settle_operation.lease AND o.operation_key = key AND o.token = settle_operation.token
      AND o.state = settle_operation.state)
  THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'Operation % of lease % was not begun under token %', key, settle_operation.lease, settle_operation.token
    USING ERRCODE = 'LE003', HINT = 'Call elect.begin_operation first.';
END
$$;
COMMENT ON FUNCTION elect.settle_operation(text, bigint, text, text, jsonb) IS
  'Internal. Records that an operation that was begun under this token is done or failed.';
