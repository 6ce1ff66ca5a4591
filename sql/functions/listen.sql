CREATE OR REPLACE FUNCTION elect.listen(names text[]) RETURNS TABLE (name text, channel text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  FOR name, channel IN SELECT n, elect.lease_channel(n) FROM unnest(names) AS u (n) LOOP
    EXECUTE format('LISTEN %I', channel);
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.listen(text[]) IS
  'LISTENs in this session to the channels of these leases, and returns them. Read the leases after it: what was told before is lost. Not behind a pooler in transaction mode. Errors: 22023 bad argument, and then none is listened to.';
