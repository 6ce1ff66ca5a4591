CREATE OR REPLACE FUNCTION elect.release_lease(name text, token bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  -- Here those who are standing in line at this moment are waited for.
  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  at timestamptz := clock_timestamp();
BEGIN
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  IF lease.part_of IS NOT NULL THEN
    PERFORM elect.release_share(lease);
    RETURN true;
  END IF;
  IF EXISTS (SELECT FROM elect.candidates c WHERE c.lease = lease_name) THEN
    -- A new token needs the stronger lock, which only a guarded transaction of the holder can be in the way of now:
    -- then the lease becomes vacant, and the first in line takes it as soon as that has ended.
    PERFORM FROM elect.leases l WHERE l.name = lease_name FOR UPDATE SKIP LOCKED;
    IF FOUND AND (elect.hand_over(lease, at, 'granted')).name IS NOT NULL THEN
      RETURN true;
    END IF;
  END IF;
  -- No raise_durability: a release that a crash undoes costs the others one ttl, not their safety.
  PERFORM elect.write_vacancy(lease, at, 'released');
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.release_lease(text, bigint) IS
  'Gives back the lease that was granted with this token: grants it to the first in line, which has 2 seconds (or its ttl) to renew it, or vacates it, and tells the followers. False if it was not held with it any more. A guarded transaction of the holder that is still open keeps the next one out until it ends. Errors: 22023 bad argument, 55P03 another transaction was at the row for over a second.';
