-- Published versions of workflows: what one says never changes again. Withdrawn ones start no run any more.

alter table workflow_versions add column published_at text;
alter table workflow_versions add column published_by text;
alter table workflow_versions add column withdrawn_at text;
alter table workflow_versions add column withdrawn_by text;
create unique index workflow_versions_published on workflow_versions (name, version) where published_at is not null;
