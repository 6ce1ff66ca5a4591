CREATE OR REPLACE FUNCTION elect.get_assignment(name text, partitions integer, member text)
RETURNS TABLE (partition integer, lease text, holder text, token bigint, expires_in interval, action text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  group_name CONSTANT text := elect.valid_shared_name(name);
  total CONSTANT integer := elect.valid_count(partitions, 'partitions', 1);
  self CONSTANT text := elect.valid_text(member, 'member');
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  WITH members AS MATERIALIZED (
    SELECT DISTINCT l.holder FROM elect.leases l WHERE l.part_of = group_name AND elect.is_held(l, at)
  ),
  parts AS MATERIALIZED (
    SELECT p.number AS partition, elect.partition_name(group_name, p.number) AS lease, l.holder, l.token,
           CASE WHEN l.name IS NOT NULL THEN elect.remaining_time(l, at) END AS expires_in
    FROM generate_series(0, total - 1) AS p (number)
    LEFT JOIN elect.leases l ON l.name = elect.partition_name(group_name, p.number) AND elect.is_held(l, at)
  ),
  -- Whoever has most keeps most: then no partition moves that need not.
  quotas AS MATERIALIZED (
    SELECT m.holder, count(p.partition) AS owned,
           total / count(*) OVER () + CASE
             WHEN row_number() OVER (ORDER BY count(p.partition) DESC, m.holder) <= total % count(*) OVER () THEN 1 ELSE 0
           END AS quota
    FROM members m LEFT JOIN parts p ON p.holder = m.holder
    GROUP BY m.holder
  ),
  -- Those that nobody has go to those who lack some, one slice each, so that no two ask for the same.
  slices AS MATERIALIZED (
    SELECT q.holder, q.quota - q.owned AS lacking,
           sum(greatest(q.quota - q.owned, 0)) OVER (ORDER BY q.holder) AS upto
    FROM quotas q
  ),
  numbered AS MATERIALIZED (
    SELECT p.*, row_number() OVER (PARTITION BY p.holder ORDER BY p.partition) AS place FROM parts p
  )
  SELECT n.partition, n.lease, n.holder, n.token, n.expires_in,
         CASE
           WHEN n.holder = self AND q.holder IS NOT NULL AND n.place > q.quota THEN 'release'
           WHEN n.holder = self THEN 'keep'
           WHEN n.holder IS NULL AND s.lacking > 0 AND n.place > s.upto - s.lacking AND n.place <= s.upto THEN 'acquire'
         END
  FROM numbered n
  LEFT JOIN quotas q ON q.holder = self
  LEFT JOIN slices s ON s.holder = self
  ORDER BY n.partition;
END
$$;
COMMENT ON FUNCTION elect.get_assignment(text, integer, text) IS
  'What a member of a group is to do so that its partitions are spread evenly over the live members with as few moves as possible: one row for each partition, from 0 on, with the lease that it is, who holds that, and an action for this member: keep, release (it has more than its part), acquire (nobody has it, and it is this member''s to take), or null. Every member that asks at the same moment gets a fitting answer. Writes and locks nothing. Errors: 22023 bad argument.';
