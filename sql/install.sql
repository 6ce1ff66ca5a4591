-- Installs schema elect, all of it or nothing:  psql -d app -f sql/install.sql
-- The table of contents: one object a file, in the order in which they need each other.
\set ON_ERROR_STOP on
BEGIN;
-- Whatever others have put into the schemas that the installer usually looks in must not take part.
SET LOCAL search_path = pg_catalog, pg_temp;
\ir schema.sql

\ir types/lease_grant.sql
\ir types/share_grant.sql
\ir tables/leases.sql
\ir tables/candidates.sql
\ir tables/shared_leases.sql
\ir tables/operations.sql

-- Building blocks: nobody but the owner may call these.
\ir internal/valid_name.sql
\ir internal/valid_text.sql
\ir internal/valid_ttl.sql
\ir internal/valid_metadata.sql
\ir internal/valid_token.sql
\ir internal/valid_age.sql
\ir internal/valid_outcome.sql
\ir internal/valid_choice.sql
\ir internal/valid_count.sql
\ir internal/valid_shared_name.sql
\ir internal/advisory_key.sql
\ir internal/guard_key.sql
\ir internal/bind_key.sql
\ir internal/share_name.sql
\ir internal/partition_name.sql
\ir internal/session_channel.sql
\ir internal/current_epoch.sql
\ir internal/is_held.sql
\ir internal/is_waiting.sql
\ir internal/is_turn.sql
\ir internal/accept_time.sql
\ir internal/extended_expiry.sql
\ir internal/remaining_time.sql
\ir internal/next_token.sql
\ir internal/raise_durability.sql
\ir internal/require_fresh_snapshots.sql
\ir internal/announce.sql
\ir internal/lease_answer.sql
\ir internal/lock_lease.sql
\ir internal/lock_row.sql
\ir internal/lock_vacancy.sql
\ir internal/wait_for_lock.sql
\ir internal/has_session_lock.sql
\ir internal/lease_in_use.sql
\ir internal/write_grant.sql
\ir internal/write_renewal.sql
\ir internal/write_vacancy.sql
\ir internal/cut_to_clock.sql
\ir internal/grant_of.sql
\ir internal/end_wait.sql
\ir internal/rank_in_line.sql
\ir internal/stand_in_line.sql
\ir internal/first_in_line.sql
\ir internal/hand_over.sql
\ir internal/lock_shared.sql
\ir internal/sweep_shares.sql
\ir internal/has_room.sql
\ir internal/write_share.sql
\ir internal/admit.sql
\ir internal/release_share.sql
\ir internal/share_answer.sql
\ir internal/lock_register.sql
\ir internal/write_register.sql
\ir internal/prove_lease.sql
\ir internal/carried_tokens.sql
\ir internal/carry_token.sql
\ir internal/bound_transaction.sql
\ir internal/trigger_lease.sql
\ir internal/end_guards.sql
\ir internal/ensure_guard.sql
\ir internal/settle_operation.sql

-- The surface.
\ir functions/schema_version.sql
\ir functions/acquire_lease.sql
\ir functions/renew_lease.sql
\ir internal/try_renewal.sql
\ir functions/renew_leases.sql
\ir functions/release_lease.sql
\ir functions/transfer_lease.sql
\ir functions/leave_queue.sql
\ir functions/refresh_candidates.sql
\ir functions/get_candidacy.sql
\ir functions/get_candidates.sql
\ir functions/request_step_down.sql
\ir functions/bind_lease.sql
\ir functions/take_over.sql
\ir functions/acquire_share.sql
\ir functions/set_capacity.sql
\ir functions/get_shares.sql
\ir functions/get_shared.sql
\ir functions/enter_barrier.sql
\ir functions/get_assignment.sql
\ir functions/compare_and_swap.sql
\ir functions/compare_and_swap_version.sql
\ir functions/get_lease.sql
\ir functions/assert_lease.sql
\ir functions/get_guards.sql
\ir functions/force_release.sql
\ir functions/prune_leases.sql
\ir functions/try_advisory_lock.sql
\ir functions/advisory_lock.sql
\ir functions/advisory_unlock.sql
\ir functions/acquire_queued.sql
\ir functions/release_queued.sql
\ir functions/try_advisory_xact_lock.sql
\ir functions/lease_channel.sql
\ir functions/listen.sql
\ir functions/listen_here.sql
\ir functions/unlisten.sql
\ir functions/grant_access.sql
\ir functions/revoke_access.sql
\ir functions/guard_write.sql
\ir functions/protect_from_truncate.sql
\ir functions/protect_table.sql
\ir functions/unprotect_table.sql
\ir functions/protect_new_partitions.sql
\ir functions/begin_operation.sql
\ir functions/finish_operation.sql
\ir functions/fail_operation.sql
\ir functions/prune_operations.sql
\ir views/current_leases.sql
\ir views/protected_tables.sql
\ir event_trigger.sql

\ir access.sql
COMMIT;
