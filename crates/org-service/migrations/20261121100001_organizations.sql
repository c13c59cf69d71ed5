-- The projects, their organizations, and the slugs that were ever used.

-- A project's row is the project's own: it stands under the project's uuid. Organizations read it, for what they inherit.
create table project (
    organization_id          uuid        not null primary key,
    project_id               uuid        not null,
    display_name             text        not null,
    user_pool                text        not null
                                         constraint project_user_pool_check check (user_pool in ('SHARED', 'ISOLATED')),
    auto_create_organization boolean     not null,
    organization_defaults    jsonb       not null,
    token_settings           jsonb       not null,
    branding                 jsonb       not null,
    limits                   jsonb       not null,
    state                    text        not null
                                         constraint project_state_check check (state in ('ACTIVE', 'ARCHIVED')),
    revision                 bigint      not null,
    create_time              timestamptz not null,
    update_time              timestamptz not null,
    constraint project_own_key_check check (organization_id = project_id)
);
call protect_tenant_table('project', 'select, insert, update', true);

create table organization (
    organization_id     uuid        not null primary key,
    project_id          uuid        not null,
    slug                text        not null,
    display_name        text        not null,
    -- The display name in lower case, for the filter by prefix. Compared byte by byte, so that the index serves a range.
    folded_name         text        collate "C" not null,
    external_id         text,
    kind                text        not null
                                    constraint organization_kind_check check (kind in ('PERSONAL', 'TEAM')),
    state               text        not null
                                    constraint organization_state_check check (state in ('ACTIVE', 'SUSPENDED', 'DELETED')),
    trusted_metadata    jsonb       not null,
    untrusted_metadata  jsonb       not null,
    settings            jsonb       not null,
    branding            jsonb       not null,
    limits              jsonb       not null,
    plan                text,
    purge_time          timestamptz,
    revision            bigint      not null,
    create_time         timestamptz not null,
    update_time         timestamptz not null,
    constraint organization_project_check check (organization_id <> project_id)
);
-- A project's list: in the order of creation, which is that of the ids, and in the order of the names.
create index organization_project_idx on organization (project_id, organization_id);
create index organization_folded_name_idx on organization (project_id, folded_name, organization_id);
create unique index organization_external_id_key on organization (project_id, external_id) where external_id is not null;
call protect_tenant_table('organization', 'select, insert, update, delete');

-- Every slug that an organization has or had. A row stays when its organization takes another slug and when it is purged (so
-- nothing refers to the organization), which is what keeps an old link from leading to a stranger: no privilege to delete one.
create table used_slug (
    organization_id uuid        not null,
    project_id      uuid        not null,
    slug            text        not null,
    create_time     timestamptz not null,
    primary key (organization_id, slug),
    constraint organization_slug_key unique (project_id, slug)
);
call protect_tenant_table('used_slug', 'select, insert');
