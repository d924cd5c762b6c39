-- What a completed run gave.
alter table runs add column outputs text;
-- The step of `parent_run` that waits for this run; none for a rerun.
alter table runs add column parent_step text;
-- When that step was told how it ended.
alter table runs add column reported_at text;
-- Runs of one workflow with the same key share the places of its `concurrency`; one that is gated waits for a place.
alter table runs add column concurrency_key text;
alter table runs add column gated integer not null default 0;
drop index if exists runs_queued;
create index runs_queued on runs (created_at) where status = 'queued' and not gated;
create index runs_gate on runs (workflow, concurrency_key, created_at) where concurrency_key is not null and finished_at is null;
create index runs_unreported on runs (finished_at) where parent_step is not null and reported_at is null and finished_at is not null;

-- When people are told that something is not done yet, once. `step` is empty for the run itself.
create table alarms (
    run_id blob not null references runs (id),
    generation integer not null,
    step text not null,
    at text not null,
    primary key (run_id, generation, step)
) strict;
create index alarms_at on alarms (at);
