CREATE TABLE elect.settings (
  is_only boolean NOT NULL DEFAULT true,
  longest_ttl interval NOT NULL DEFAULT '15 seconds',
  grace boolean NOT NULL DEFAULT true,
  CONSTRAINT settings_pkey PRIMARY KEY (is_only),
  CONSTRAINT settings_is_only CHECK (is_only),
  CONSTRAINT settings_longest_ttl CHECK (longest_ttl BETWEEN '100 milliseconds' AND '24 hours')
);
INSERT INTO elect.settings DEFAULT VALUES;

COMMENT ON TABLE elect.settings IS 'One row: what an operator has chosen for this database. Written by elect.configure.';
COMMENT ON COLUMN elect.settings.is_only IS 'Keeps it at one row.';
COMMENT ON COLUMN elect.settings.longest_ttl IS
  'How long, at least, a lease counts as held in a new epoch: no less than the longest TTL in use where contenders of one name ask for different ones.';
COMMENT ON COLUMN elect.settings.grace IS
  'Whether leases count as held for that long. To be turned off only where no acknowledged commit can be lost: synchronous replication.';
