CREATE OR REPLACE VIEW elect.current_leases AS
SELECT l.name, l.holder, l.token, l.version, l.epoch, l.metadata, l.ttl, l.acquired_at, l.renewed_at,
       nullif(elect.expiry_of(l), 'infinity') AS expires_at,
       elect.remaining_time(l, moment.at) AS expires_in,
       l.part_of, l.step_down_token IS NOT DISTINCT FROM l.token AS step_down_requested, l.session
FROM elect.leases l
CROSS JOIN LATERAL (SELECT pg_catalog.clock_timestamp() AS at WHERE l.name IS NOT NULL) AS moment
WHERE elect.is_held(l, moment.at);
COMMENT ON VIEW elect.current_leases IS
  'The leases that are held now, with their holders and the time they have left (null: for ever). Vacant and expired ones are not shown.';
