-- One chain over the rows of the ledgers. journal.take_up then enters the rows that are there.
-- Warehouses from before schema_versions may have it already.

alter table dispatches add column if not exists entry bigint default nextval('entries');

create table if not exists journal (
    entry            bigint  not null primary key,
    kind             varchar not null,
    subject          varchar not null,
    content          varchar not null,
    recorded_at      timestamptz not null,
    previous_hash    varchar not null,
    entry_hash       varchar not null
);
