CREATE OR REPLACE FUNCTION elect.lock_shared(name text, capacity integer DEFAULT NULL) RETURNS elect.shared_leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  shared elect.shared_leases;
BEGIN
  LOOP
    SELECT * INTO shared FROM elect.shared_leases s WHERE s.name = lock_shared.name FOR UPDATE;
    EXIT WHEN FOUND;
    -- The lock under which a lease of that name would be made, too: one name is one thing.
    PERFORM pg_advisory_xact_lock(elect.advisory_key(lock_shared.name));
    IF EXISTS (SELECT FROM elect.leases l WHERE l.name = lock_shared.name) THEN
      RAISE EXCEPTION 'Invalid name: % is the name of a lease that is not shared', lock_shared.name
        USING ERRCODE = 'invalid_parameter_value', HINT = 'One name is one thing: choose another.';
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
      -- A lease of today may be invisible under a snapshot of the whole transaction: then this raises 40001.
      INSERT INTO elect.leases (name, token, version, epoch, acquired_at, renewed_at)
      VALUES (lock_shared.name, 1, 1, 0, clock_timestamp(), clock_timestamp())
      ON CONFLICT (name) DO NOTHING;
      DELETE FROM elect.leases l WHERE l.name = lock_shared.name;
    END IF;
    INSERT INTO elect.shared_leases (name, capacity, token, written_at)
    VALUES (lock_shared.name, lock_shared.capacity, 1, clock_timestamp())
    ON CONFLICT (name) DO NOTHING;
  END LOOP;
  RETURN shared;
END
$$;
COMMENT ON FUNCTION elect.lock_shared(text, integer) IS
  'Internal. Locks the row of a shared lease, waiting if need be; makes it, with that capacity, where there is none. Whoever takes, releases or waits for a share does so under this lock. Read the clock after it. Errors: 22023 the name is that of a plain lease, 55P03 another transaction was at the row for over a second.';
