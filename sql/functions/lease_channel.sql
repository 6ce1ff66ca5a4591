CREATE OR REPLACE FUNCTION elect.lease_channel(name text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN elect.channel_of(elect.valid_name(name));
END
$$;
COMMENT ON FUNCTION elect.lease_channel(text) IS
  'The NOTIFY channel on which changes of this one lease are told, as JSON {event, name, holder, token, previous_holder}; channel elect tells those of all. A notification is a hint to look, never a proof. Errors: 22023 bad argument.';
