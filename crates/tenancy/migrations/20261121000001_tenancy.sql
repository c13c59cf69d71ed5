-- What every service's schema has: the tenants' heads, the events, the answers kept for repeated requests, and the one
-- procedure that puts a table behind the tenant wall.
--
-- Migrations run as the schema's owner. The role that the server runs as is named by the setting guildhall.runtime_role; it
-- owns nothing and gets just the privileges that are listed here.

-- The wall: row-level security that also holds for the owner. A row is visible and writable
--   in scope `organization`  when it is the organization's own,
--   in scope `project`       when it is of the project, whatever the organization,
--   in scope `cluster`       always (feed readers and sweeps, which serve no caller's request),
-- and with no scope set, never. Rows that belong to the project itself carry the project's uuid as organization_id.
-- A template table's rows of the project itself (its roles, its catalogue) can also be read by its organizations.
create procedure protect_tenant_table(name text, privileges text, template boolean default false)
language plpgsql as $$
declare
    own constant text :=
        '(current_setting(''guildhall.scope'', true) = ''organization'''
        ' and organization_id = nullif(current_setting(''guildhall.organization_id'', true), '''')::uuid'
        ' and project_id = nullif(current_setting(''guildhall.project_id'', true), '''')::uuid)'
        ' or (current_setting(''guildhall.scope'', true) = ''project'''
        ' and project_id = nullif(current_setting(''guildhall.project_id'', true), '''')::uuid)'
        ' or current_setting(''guildhall.scope'', true) = ''cluster''';
begin
    execute format('alter table %I enable row level security', name);
    execute format('alter table %I force row level security', name);
    execute format('create policy tenant on %I using (%s) with check (%s)', name, own, own);
    if template then
        execute format(
            'create policy template on %I for select using (current_setting(''guildhall.scope'', true) = ''organization'''
            ' and organization_id = project_id'
            ' and project_id = nullif(current_setting(''guildhall.project_id'', true), '''')::uuid)', name);
    end if;
    execute format('grant %s on %I to %I', privileges, name, current_setting('guildhall.runtime_role'));
end
$$;

-- One row for each tenant: the lock that orders its writes, its revision, the end of its event chain, and what org-service
-- last said of its state. The project has a row of its own, under its own uuid.
create table head (
    organization_id  uuid        not null primary key,
    project_id       uuid        not null,
    state            text        not null default 'ACTIVE'
                                 constraint head_state_check check (state in ('ACTIVE', 'SUSPENDED', 'DELETED')),
    state_revision   bigint      not null default 0,
    revision         bigint      not null default 0,
    event_hash       bytea       not null default decode(repeat('00', 32), 'hex'),
    -- The highest transaction id among the tenant's events: see event.feed_transaction.
    feed_transaction bigint      not null default 0,
    -- Differs when a tenant's history is not the one it was, as after a restore from a backup.
    incarnation      uuid        not null default gen_random_uuid(),
    create_time      timestamptz not null default now()
);
call protect_tenant_table('head', 'select, insert, update');

-- Append-only: the runtime role may blank a payload (erasure), and change or delete nothing else.
create table event (
    organization_id  uuid        not null,
    project_id       uuid        not null,
    revision         bigint      not null,
    ordinal          integer     not null,
    event_id         uuid        not null,
    kind             text        not null,
    actor            text        not null,
    on_behalf_of     text,
    subject_ids      text[]      not null,
    payload          text,
    payload_hash     bytea       not null,
    request_id       text        not null,
    trace_id         text        not null,
    time             timestamptz not null,
    previous_hash    bytea       not null,
    hash             bytea       not null,
    -- The feed is read in the order (feed_transaction, position), up to the oldest transaction still running. The value is the
    -- writing transaction's id, or the tenant's previous value where that is higher, so that a tenant's events come in the order
    -- of its revisions; and it is never lower than the writer's own id, so that no event shows up behind a reader's back.
    feed_transaction bigint      not null,
    position         bigint      not null generated always as identity,
    primary key (organization_id, revision, ordinal)
);
create index event_feed_idx on event (feed_transaction, position);
call protect_tenant_table('event', 'select, insert, update (payload)');

-- The first answer to every write that carried a request_id, sealed, for 24 hours.
create table answer (
    organization_id uuid        not null,
    project_id      uuid        not null,
    caller          text        not null,
    method          text        not null,
    request_id      text        not null,
    body_hash       bytea       not null,
    answer          bytea       not null,
    expire_time     timestamptz not null,
    primary key (organization_id, caller, method, request_id)
);
create index answer_expiry_idx on answer (expire_time);
call protect_tenant_table('answer', 'select, insert, delete');

-- How far this service has read the feeds of the others. Of no tenant: a feed holds everybody's events.
create table feed_cursor (
    source text  not null primary key,
    cursor text  not null
);

do $$
begin
    execute format('grant select, insert, update on feed_cursor to %I', current_setting('guildhall.runtime_role'));
    execute format('grant select on _sqlx_migrations to %I', current_setting('guildhall.runtime_role'));
end
$$;
