-- Who is asked when nobody who was asked can be reached; documents that came before, in another message.

alter table waits add column fallback jsonb;
-- The first message that brought the same document, of the same customer.
alter table parts add column duplicate_of uuid;
-- The first message that brought any of its documents.
alter table messages add column documents_of uuid;
create index parts_first on parts (sha256) where role = 'document' and duplicate_of is null;
-- Who wrote before.
create index messages_from on messages (customer, from_address);
