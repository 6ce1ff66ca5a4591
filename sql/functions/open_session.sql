CREATE OR REPLACE FUNCTION elect.open_session(holder text, ttl interval DEFAULT '15 seconds') RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  opener CONSTANT text := elect.valid_text(holder, 'holder');
  asked_ttl CONSTANT interval := elect.valid_ttl(ttl);
  in_epoch CONSTANT bigint := (elect.epoch_at(clock_timestamp(), true)).epoch;
  at CONSTANT timestamptz := clock_timestamp();
  opened uuid;
BEGIN
  PERFORM elect.raise_durability();
  INSERT INTO elect.sessions (session, epoch, ttl, holder, opened_at, renewed_at, expires_at)
  VALUES (gen_random_uuid(), in_epoch, asked_ttl, opener, at, at, at + asked_ttl)
  RETURNING session INTO opened;
  RETURN opened;
END
$$;
COMMENT ON FUNCTION elect.open_session(text, interval) IS
  'Opens a session, which keeps any number of leases by one row: acquire_lease and renew_lease(s) bind them to it, and from then on they are held for as long as it is renewed (renew_session). Lasts for one ttl (100 ms to 24 h, 15 s by default). holder: who opens it, for operators. Errors: 22023 bad argument.';
