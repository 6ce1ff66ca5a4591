CREATE OR REPLACE FUNCTION elect.invalid_request(names text[], holders text[], ttls interval[], metadata_list jsonb[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  request record;
  message text;
  hint text;
BEGIN
  FOR request IN
    SELECT a.name, a.holder, a.ttl, a.metadata, a.place
    FROM unnest(names, holders, ttls, metadata_list) WITH ORDINALITY AS a (name, holder, ttl, metadata, place)
    ORDER BY a.place
  LOOP
    BEGIN
      PERFORM elect.valid_name(request.name), elect.valid_text(request.holder, 'holder'), elect.valid_ttl(request.ttl),
        elect.valid_metadata(request.metadata);
    EXCEPTION
      WHEN invalid_parameter_value THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RAISE EXCEPTION USING
          MESSAGE = message, ERRCODE = 'invalid_parameter_value', HINT = hint,
          DETAIL = format('Request %s, lease %s. None of them was granted.', request.place, coalesce(left(request.name, 200), 'null'));
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.invalid_request(text[], text[], interval[], jsonb[]) IS
  'Internal. Error 22023 about the first of many requests that is not valid, with its place and name; nothing if all are.';
