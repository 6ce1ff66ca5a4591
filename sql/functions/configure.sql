CREATE OR REPLACE FUNCTION elect.configure(longest_ttl interval DEFAULT NULL, grace boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  asked_longest CONSTANT interval := CASE WHEN configure.longest_ttl IS NOT NULL THEN elect.valid_ttl(configure.longest_ttl, 'longest_ttl') END;
  asked_grace CONSTANT boolean := configure.grace;
BEGIN
  PERFORM elect.raise_durability();
  UPDATE elect.settings AS s
  SET longest_ttl = coalesce(asked_longest, s.longest_ttl), grace = coalesce(asked_grace, s.grace);
END
$$;
COMMENT ON FUNCTION elect.configure(interval, boolean) IS
  'For operators: how long leases count as held after a fail-over that may have lost grants (elect.epochs). longest_ttl, 100 ms to 24 h, 15 seconds by default: the least time; a lease whose own ttl is longer, or of whom a longer one is asked for, counts as held for that. Raise it to the longest ttl in use where contenders of one name ask for different ones. grace: false where no acknowledged commit can be lost, as with synchronous replication; then nobody waits. Null: as it is (get_settings shows it). Errors: 22023 bad argument, 55P03 another transaction is changing them for over a second.';
