-- A digest: a channel has at most 63 bytes, a name up to 200. Not a cryptographic one, which costs more: two names that share a channel
-- give each other hints to look, no more.
CREATE OR REPLACE FUNCTION elect.channel_of(name text) RETURNS text
LANGUAGE sql STABLE
RETURN 'elect_' || to_hex(hashtextextended(name COLLATE "C", 0));
COMMENT ON FUNCTION elect.channel_of(text) IS 'Internal. The channel of a lease (lease_channel) whose name has been checked.';
