CREATE OR REPLACE FUNCTION elect.begin_operation(lease text, token bigint, operation_key text, retry_failed boolean DEFAULT true)
RETURNS TABLE (state text, idempotency_key text, attempt integer, result jsonb, error jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  key CONSTANT text := elect.valid_text(operation_key, 'operation_key');
BEGIN
  PERFORM elect.ensure_guard(lease, token);
  RETURN QUERY
  INSERT INTO elect.operations AS o (lease, operation_key, token, attempt, state, idempotency_key, begun_at)
  VALUES (begin_operation.lease, key, begin_operation.token, 1, 'begun', gen_random_uuid()::text, clock_timestamp())
  ON CONFLICT ON CONSTRAINT operations_pkey DO UPDATE
  SET token = excluded.token, attempt = o.attempt + 1, state = 'begun', settled_at = NULL, error = NULL
  -- Begun but not done: an earlier leader may have got as far as the call. It is repeated, under the same key.
  WHERE o.state = 'begun' OR (o.state = 'failed' AND retry_failed)
  RETURNING o.state, o.idempotency_key, o.attempt, o.result, o.error;
  IF NOT FOUND THEN
    RETURN QUERY
    SELECT o.state, o.idempotency_key, o.attempt, o.result, o.error
    FROM elect.operations o WHERE o.lease = begin_operation.lease AND o.operation_key = key;
  ELSE
    PERFORM elect.raise_durability();
  END IF;
END
$$;
COMMENT ON FUNCTION elect.begin_operation(text, bigint, text, boolean) IS
  'Records, under the guard of the lease, that an operation begins: commit that before any call outside. One row: state begun: do it, and pass idempotency_key on, which is the same at every attempt; done: it has happened, with this result; failed: only if retry_failed is false. Errors: LE001 not held, 22023 bad argument, 55P03 a change of its holder is under way for over a second.';
