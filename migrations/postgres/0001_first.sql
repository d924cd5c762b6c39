-- Everything the main job needs. Words as in ARCHITECTURE.md; states are words of src/domain.

create table customers (
    name text primary key,
    aliases jsonb not null,
    updated_at timestamptz not null
);

create table suppliers (
    customer text not null references customers (name),
    name text not null,
    domains jsonb not null,
    addresses jsonb not null,
    ibans jsonb not null,
    primary key (customer, name)
);

create table users (
    customer text not null references customers (name),
    name text not null,
    full_name text not null,
    address text not null,
    roles jsonb not null,
    primary key (customer, name)
);

-- One row per configured mailbox: who polls it, how far, how it is.
create table mailboxes (
    name text primary key,
    customer text not null,
    uid_validity bigint,
    high_water bigint not null default 0,
    lease_owner text,
    lease_until timestamptz,
    fence bigint not null default 0,
    health text not null default 'unknown',
    failures integer not null default 0,
    last_error text,
    last_poll_at timestamptz,
    next_poll_at timestamptz
);

-- The ledger: one row per delivery, from the moment it is listed.
create table messages (
    id uuid primary key,
    customer text not null,
    mailbox text not null,
    uid_validity bigint not null,
    uid text not null,
    transaction_id uuid not null,
    state text not null,
    listed_at timestamptz not null,
    received_at timestamptz,
    size_bytes bigint not null,
    raw_sha256 text,
    stable_sha256 text,
    header_message_id text,
    from_address text,
    subject text,
    facts jsonb,
    verdict text,
    reason text,
    explanation jsonb,
    run_id uuid,
    wait_id uuid,
    duplicate_of uuid,
    decided_at timestamptz,
    flagged_at timestamptz,
    attempts integer not null default 0,
    next_attempt_at timestamptz,
    error text,
    unique (mailbox, uid_validity, uid)
);
create index messages_open on messages (mailbox, next_attempt_at) where state = 'listed';
create index messages_unflagged on messages (mailbox) where state = 'decided' and flagged_at is null;
create index messages_stable on messages (customer, stable_sha256);
create index messages_listed_at on messages (listed_at);

create table parts (
    message_id uuid not null references messages (id),
    idx integer not null,
    transaction_id uuid not null,
    container integer,
    name text,
    declared_type text not null,
    kind text not null,
    role text not null,
    sha256 text not null,
    size_bytes bigint not null,
    twin_of integer,
    path text not null,
    primary key (message_id, idx)
);
create index parts_sha256 on parts (sha256);

create table transactions (
    id uuid primary key,
    customer text not null,
    message_id uuid not null references messages (id),
    created_at timestamptz not null
);

-- Definitions as they were when a run was launched with them.
create table workflow_versions (
    hash text primary key,
    name text not null,
    version integer not null,
    definition jsonb not null,
    created_at timestamptz not null
);

create table counters (
    name text primary key,
    value bigint not null
);

create table runs (
    id uuid primary key,
    name text not null unique,
    customer text not null,
    transaction_id uuid not null,
    message_id uuid,
    workflow text not null,
    workflow_version integer not null,
    workflow_hash text not null references workflow_versions (hash),
    status text not null,
    held boolean not null default false,
    generation integer not null,
    inputs jsonb not null,
    origin jsonb not null,
    failure jsonb,
    parent_run uuid,
    lease_owner text,
    lease_until timestamptz,
    fence bigint not null default 0,
    wake_at timestamptz,
    deadline_at timestamptz,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    finished_at timestamptz
);
create index runs_queued on runs (created_at) where status = 'queued';
create index runs_leased on runs (lease_until) where status = 'running';
create index runs_wake on runs (wake_at) where wake_at is not null;
create index runs_created on runs (created_at);

create table steps (
    run_id uuid not null references runs (id),
    generation integer not null,
    name text not null,
    agent text not null,
    status text not null,
    attempt integer not null,
    output jsonb,
    failure jsonb,
    retry_at timestamptz,
    started_at timestamptz not null,
    finished_at timestamptz,
    primary key (run_id, generation, name)
);

create table waits (
    id uuid primary key,
    run_id uuid not null references runs (id),
    customer text not null,
    generation integer not null,
    step text not null,
    attempt integer not null,
    kind text not null,
    status text not null,
    question text not null,
    asked jsonb not null,
    facts jsonb not null,
    facts_sha256 text not null,
    ladder jsonb not null,
    rung integer not null,
    due_at timestamptz,
    answer jsonb,
    opened_at timestamptz not null,
    closed_at timestamptz
);
create index waits_run on waits (run_id);
create index waits_due on waits (due_at) where status = 'open';

-- One per answerable notice. The token itself is derived from a key that is not in here; only its hash is kept.
create table tokens (
    id uuid primary key,
    hash text not null unique,
    wait_id uuid not null references waits (id),
    generation integer not null,
    person text not null,
    address text not null,
    created_at timestamptz not null,
    void_at timestamptz
);
create index tokens_wait on tokens (wait_id);

-- Everything anybody said to a wait, whether it decided or not.
create table answers (
    id uuid primary key,
    wait_id uuid not null references waits (id),
    run_id uuid not null,
    person text not null,
    choice text,
    comment text,
    via text not null,
    verified text not null,
    effect text not null,
    message_id uuid,
    at timestamptz not null
);
create index answers_wait on answers (wait_id);

-- The outbox.
create table notices (
    id uuid primary key,
    customer text not null,
    run_id uuid,
    wait_id uuid,
    token_id uuid,
    mailbox text,
    medium text not null,
    person text not null,
    address text not null,
    template text not null,
    data jsonb not null,
    attachments jsonb not null,
    header_message_id text not null unique,
    in_reply_to text,
    status text not null,
    attempts integer not null default 0,
    next_at timestamptz not null,
    fence bigint not null default 0,
    receipt text,
    error text,
    created_at timestamptz not null,
    sent_at timestamptz
);
create index notices_due on notices (next_at) where status in ('pending', 'sending');
create index notices_wait on notices (wait_id);
create index notices_run on notices (run_id);

-- The audit trail. `position` and `hash` are given once, by the sealer; nothing else is ever changed.
create table events (
    id uuid primary key,
    at timestamptz not null,
    kind text not null,
    actor text not null,
    customer text not null,
    message_id uuid,
    run_id uuid,
    step text,
    data jsonb not null,
    position bigint unique,
    hash text
);
create index events_unsealed on events (id) where position is null;
create index events_run on events (run_id);
create index events_message on events (message_id);
