-- What keeps the engine's pace the same however many runs there have been.

-- Grows when somebody else than the worker that has the run changes its steps.
alter table runs add column revision integer not null default 0;
create index runs_deadline on runs (deadline_at)
    where deadline_at is not null and status in ('queued', 'running', 'waiting');
