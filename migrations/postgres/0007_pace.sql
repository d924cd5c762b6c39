-- What keeps the engine's pace the same however many runs there have been.

-- Grows when somebody else than the worker that has the run changes its steps.
alter table runs add column revision bigint not null default 0;
create index runs_deadline on runs (deadline_at)
    where deadline_at is not null and status in ('queued', 'running', 'waiting');
-- A step is written twice: room for the second time on the same page, so that its index need not be touched.
alter table steps set (fillfactor = 80);
