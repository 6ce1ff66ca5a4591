CREATE OR REPLACE VIEW elect.protected_tables AS
SELECT g.tgrelid::pg_catalog.regclass AS target, elect.trigger_lease(g) AS lease, g.tgenabled IN ('O', 'A') AS enabled
FROM pg_catalog.pg_trigger g
WHERE g.tgname = 'elect_guard' AND g.tgfoid = 'elect.guard_write()'::pg_catalog.regprocedure AND g.tgparentid = 0;
COMMENT ON VIEW elect.protected_tables IS
  'The tables that protect_table protects (partitions go with their parent), the lease of each, and whether its owner has left the protection enabled.';
