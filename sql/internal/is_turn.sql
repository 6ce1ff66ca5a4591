-- The first in line may take a vacant lease at once. The others may a little later each, in case those before them are
-- dead: a place of the dead lasts for a ttl, and that is too long for a lease that nobody has. A vacancy that begins in
-- the future says that the clock of the server went back: then nobody is kept out.
CREATE OR REPLACE FUNCTION elect.is_turn(lease elect.leases, rank integer, at timestamptz, since timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE
RETURN rank = 0 OR (lease).name IS NULL OR at NOT BETWEEN greatest(elect.expiry_of(lease), since) AND greatest(elect.expiry_of(lease), since) + rank * interval '250 milliseconds';
COMMENT ON FUNCTION elect.is_turn(elect.leases, integer, timestamptz, timestamptz) IS
  'Internal. Whether a contender of that rank may take a vacant lease at that moment: 250 ms later for each one that goes before it. since: until when its grace kept everybody out (grace_of).';
