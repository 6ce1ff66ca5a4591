CREATE OR REPLACE FUNCTION elect.set_capacity(name text, capacity integer) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  shared_name CONSTANT text := elect.valid_shared_name(name);
  new_capacity CONSTANT integer := elect.valid_count(capacity, 'capacity', 0, true);
  at timestamptz;
BEGIN
  PERFORM elect.lock_shared(shared_name, new_capacity);
  at := clock_timestamp();
  PERFORM elect.raise_durability();
  UPDATE elect.shared_leases AS s SET capacity = new_capacity, written_at = at WHERE s.name = shared_name;
  PERFORM elect.sweep_shares(shared_name, at);
  PERFORM elect.admit(shared_name, at);
END
$$;
COMMENT ON FUNCTION elect.set_capacity(text, integer) IS
  'Changes how many shares there may be at once (null: any number; 0: no new ones). Those first in line get what is added. What is held already stays held: a smaller capacity is reached as shares are released. Kept until the shared lease is pruned. Errors: 22023 bad argument, 55P03 another transaction was at it for over a second.';
