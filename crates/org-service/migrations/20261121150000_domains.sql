-- The domain names that organizations claim, and when to look for the records that prove them.

create table domain (
    organization_id uuid        not null,
    domain_id       uuid        not null,
    project_id      uuid        not null,
    -- In lower case and ASCII form.
    name            text        not null,
    purpose         text        not null constraint domain_purpose_check check (purpose in ('EMAIL', 'HOST')),
    state           text        not null constraint domain_state_check check (state in ('PENDING', 'VERIFIED', 'FAILED')),
    record_value    text        not null,
    verify_time     timestamptz,
    revision        bigint      not null,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    -- Looks since its state last changed that did not find the record.
    misses          integer     not null default 0,
    -- Null: nobody looks any more, unless asked to.
    next_look_time  timestamptz,
    -- When somebody last asked for a look.
    asked_time      timestamptz,
    primary key (organization_id, domain_id),
    constraint domain_project_check check (organization_id <> project_id),
    constraint domain_claim_key unique (organization_id, name, purpose)
);
-- Claims may meet, proofs may not: one owner in a project for each name and purpose, whatever the writers see of each other.
create unique index domain_verified_key on domain (project_id, name, purpose) where state = 'VERIFIED';
-- For a host name that comes without its project.
create index domain_verified_host_idx on domain (name) where state = 'VERIFIED' and purpose = 'HOST';
create index domain_next_look_idx on domain (next_look_time) where next_look_time is not null;
call protect_tenant_table('domain', 'select, insert, update, delete');

-- For a vanity host that comes without its project.
create index used_slug_slug_idx on used_slug (slug);
