CREATE OR REPLACE FUNCTION elect.system_identifier() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT s.system_identifier FROM pg_control_system() s);
EXCEPTION
  -- Where a provider keeps it to itself, the timeline and the object id have to do.
  WHEN insufficient_privilege OR feature_not_supported THEN
    RETURN 0::bigint;
END
$$;
COMMENT ON FUNCTION elect.system_identifier() IS
  'Internal. What tells this cluster from all others, its standbys and backups excepted; 0 where it may not be known.';
