CREATE OR REPLACE FUNCTION elect.lease_channel(name text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- A digest: a channel has at most 63 bytes, a name up to 200.
  RETURN 'elect_' || left(encode(sha256(convert_to(elect.valid_name(name), 'UTF8')), 'hex'), 32);
END
$$;
COMMENT ON FUNCTION elect.lease_channel(text) IS
  'The NOTIFY channel on which changes of this one lease are told, as JSON {event, name, holder, token, previous_holder}; channel elect tells those of all. A notification is a hint to look, never a proof. Errors: 22023 bad argument.';
