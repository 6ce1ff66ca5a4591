CREATE OR REPLACE FUNCTION elect.unlisten(names text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  channel text;
BEGIN
  FOR channel IN SELECT elect.lease_channel(n) FROM unnest(names) AS u (n) LOOP
    EXECUTE format('UNLISTEN %I', channel);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.unlisten(text[]) IS 'Undoes listen for these leases in this session. Errors: 22023 bad argument.';
