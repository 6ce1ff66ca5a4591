-- A digest: a channel has at most 63 bytes, a name up to 200.
CREATE OR REPLACE FUNCTION elect.channel_of(name text) RETURNS text
LANGUAGE sql STABLE
RETURN 'elect_' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 32);
COMMENT ON FUNCTION elect.channel_of(text) IS 'Internal. The channel of a lease (lease_channel) whose name has been checked.';
