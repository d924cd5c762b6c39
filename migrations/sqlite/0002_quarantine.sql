-- What a person made of a quarantined message, once. Its verdict stays as it was given.
-- `severity` of what was quarantined before this migration is not known.

alter table messages add column severity text;
alter table messages add column disposition text;
alter table messages add column disposed_at text;
alter table messages add column disposed_by text;
alter table messages add column disposed_reason text;
-- The verdict of the screening at its release.
alter table messages add column released_as text;
create index messages_quarantined on messages (listed_at) where verdict = 'quarantine' and disposition is null;
