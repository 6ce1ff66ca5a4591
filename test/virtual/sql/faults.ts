/** Faults in the SQL that schedules of virtual time find. What needs several backends at once is not among them. */
import type { Fault } from '../support/fault.ts'

const caughtBy = 'test/virtual/sql/rules.test.ts'

function fault(name: string, file: string, from: string, to: string): Fault {
  return { name, file: `sql/${file}.sql`, from, to, caughtBy }
}

export const sqlFaults: readonly Fault[] = [
  fault('expiry is ignored', 'internal/is_held', ' AND elect.expiry_of(lease) > at', ''),
  fault(
    'a lease is held at the moment of its expiry',
    'internal/is_held',
    'elect.expiry_of(lease) > at',
    'elect.expiry_of(lease) >= at',
  ),
  fault(
    'a renewal reads the clock before it waits for the row',
    'functions/renew_lease',
    'at := clock_timestamp()',
    'at := statement_timestamp()',
  ),
  fault('a renewal goes by now()', 'functions/renew_lease', 'at := clock_timestamp()', 'at := now()'),
  fault('a release goes by now()', 'functions/release_lease', 'at := clock_timestamp()', 'at := now()'),
  fault('a transfer goes by now()', 'functions/transfer_lease', 'at := clock_timestamp()', 'at := now()'),
  fault(
    'a beat revives what has expired',
    'functions/renew_leases',
    "AND l.expires_at > a.at + interval '100 milliseconds' AND",
    'AND',
  ),
  fault(
    'the guard goes by now()',
    'internal/prove_lease',
    'elect.is_held(lease, clock_timestamp())',
    'elect.is_held(lease, now())',
  ),
  fault(
    'the guard ignores expiry',
    'internal/prove_lease',
    '(expired_is_proof OR elect.is_held(lease, clock_timestamp()))',
    'true',
  ),
  fault(
    'the guard takes any token',
    'internal/prove_lease',
    'IF lease.token = prove_lease.token AND lease.holder',
    'IF lease.holder',
  ),
  fault('a renewal takes any token', 'functions/renew_lease', ' AND l.token = renew_lease.token', ''),
  fault(
    'tokens are a counter',
    'internal/next_token',
    'greatest(coalesce(last, 0) + 1, (extract(epoch FROM at) * 1000000::numeric)::bigint + (epoch - 1) * 3600000000)',
    'coalesce(last, 0) + 1',
  ),
  fault('tokens are the clock', 'internal/next_token', 'greatest(coalesce(last, 0) + 1, ', 'greatest(1, '),
  fault('tokens know of no epoch', 'internal/next_token', ' + (epoch - 1) * 3600000000', ''),
  fault(
    'a renewal takes back what was promised',
    'functions/renew_lease',
    'greatest(l.expires_at, at + asked_ttl)',
    'at + asked_ttl',
  ),
  fault(
    'a renewal after the clock went back takes back what was promised',
    'internal/extended_expiry',
    'at + greatest(ttl, (lease).expires_at - (lease).renewed_at)',
    'at + ttl',
  ),
  fault(
    'a renewal keeps a promise of another time',
    'internal/extended_expiry',
    'WHEN (lease).renewed_at > at THEN',
    'WHEN false THEN',
  ),
  fault(
    'a lease from the future sticks',
    'internal/cut_to_clock',
    'AND lease.renewed_at > at AND',
    'AND false AND',
  ),
  fault(
    'a lease from the future is in the way of those who wait',
    'functions/refresh_candidates',
    'AND elect.is_from_future(l, at);',
    'AND false;',
  ),
  fault(
    'what is left is told from the future',
    'internal/remaining_time',
    ', (lease).expires_at - (lease).renewed_at',
    '',
  ),
  fault(
    'the line ignores priorities',
    'internal/hand_over',
    'ORDER BY f.priority DESC, f.arrival LIMIT 1',
    'ORDER BY f.arrival LIMIT 1',
  ),
  fault(
    'the line ignores arrival',
    'internal/hand_over',
    'ORDER BY f.priority DESC, f.arrival LIMIT 1',
    'ORDER BY f.priority DESC, f.arrival DESC LIMIT 1',
  ),
  fault(
    'a rank goes by the last arrival',
    'internal/rank_in_line',
    'own.arrival <= c.arrival',
    'own.arrival >= c.arrival',
  ),
  fault('anybody barges in', 'internal/is_turn', 'RETURN rank = 0 OR', 'RETURN true OR'),
  fault(
    'the dead are waited for',
    'internal/is_turn',
    "rank * interval '250 milliseconds'",
    "rank * interval '1 hour'",
  ),
  fault('a place never ends', 'internal/is_waiting', '(place).expires_at > at AND ', ''),
  fault(
    'a place from the future counts',
    'internal/is_waiting',
    " AND (place).seen_at <= at + interval '1 second'",
    '',
  ),
  fault('a place that has run out comes back', 'functions/refresh_candidates', 'AND c.expires_at > at', ''),
  fault(
    'whoever is granted it waits on',
    'internal/write_grant',
    'PERFORM elect.end_wait(coalesce(granted.part_of, granted.name), granted.holder);',
    '',
  ),
  fault(
    'what is handed over lasts a whole TTL',
    'internal/accept_time',
    "least(ttl, interval '2 seconds')",
    'ttl',
  ),
  fault('a vacated lease keeps its version', 'internal/write_vacancy', 'version = l.version + 1, ', ''),
  fault('no grace in a new epoch', 'internal/grace_of', 'IF NOT setting.grace THEN', 'IF true THEN'),
  fault(
    'the grace forgets the longer TTLs',
    'internal/grace_of',
    'greatest(setting.longest_ttl, lease.ttl, grace_of.ttl)',
    'setting.longest_ttl',
  ),
  fault(
    'a lease is handed over in its grace',
    'internal/hand_over',
    'next.candidate IS NULL OR elect.grace_of(lease, next.ttl, at, elect.epoch_at(at, true)) IS NOT NULL',
    'next.candidate IS NULL',
  ),
  fault(
    'a name settles the grace',
    'functions/acquire_lease',
    'IF grace_until IS NOT NULL THEN\n        RETURN',
    'IF false THEN\n        RETURN',
  ),
  fault(
    'a name settles the grace of a share',
    'functions/acquire_share',
    'IF grace_until IS NOT NULL THEN\n      answer.granted',
    'IF false THEN\n      answer.granted',
  ),
  fault(
    'shares are swept in their grace',
    'internal/sweep_shares',
    'AND elect.grace_of(l, NULL, at, elect.epoch_at(at, true)) IS NULL',
    '',
  ),
  fault('no grace of shares', 'functions/acquire_share', 'elect.share_grace(shared, asked_ttl, at)', 'NULL'),
  fault('a renewal does not settle the grace', 'internal/write_renewal', 'epoch = in_epoch, ', ''),
  fault(
    'a grace from the future lasts on',
    'internal/epoch_at',
    "IF begun.first_seen_at <= at + interval '1 second' THEN",
    'IF true THEN',
  ),
  fault(
    'a grace from the future begins anew with each call',
    'internal/look_at_epoch',
    "PERFORM setval('elect.epoch_seen', at_us)",
    'PERFORM at_us',
  ),
  fault('one share too many', 'internal/has_room', 'taken < shared.capacity', 'taken <= shared.capacity'),
  fault('readers join a writer', 'internal/has_room', 'NOT has_exclusive AND (', '('),
  fault('a writer joins readers', 'internal/has_room', 'taken = 0 AND', 'NOT has_exclusive AND'),
  fault('shares from the future stick', 'internal/sweep_shares', 'elect.is_from_future(l, at);', 'false;'),
  fault(
    'what is vacant is pruned at once',
    'functions/prune_leases',
    'END <= clock_timestamp() - age',
    'END <= clock_timestamp()',
  ),
]
