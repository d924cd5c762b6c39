-- A run that is being ended: nothing of it starts any more, and when what is in hand has ended it is killed.
alter table runs add column stopping integer not null default 0;
-- When it is killed even though something is still in hand; none when it may take its time.
alter table runs add column kill_at text;
-- A queued run is not claimed before this instant.
alter table runs add column not_before text;
create index runs_killing on runs (kill_at) where status = 'running' and kill_at is not null;

-- Lists.
create index runs_workflow on runs (workflow, created_at);
create index runs_waiting on runs (created_at) where status = 'waiting';
create index runs_failed on runs (created_at) where status = 'failed';
create index runs_killed on runs (created_at) where status = 'killed';
create index runs_parent on runs (parent_run) where parent_run is not null;
create index waits_open on waits (run_id) where status = 'open';
