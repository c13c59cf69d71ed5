-- What decides in an organization: the project's catalogue and roles (templates, which its organizations read), and the
-- organization's own roles, groups, bindings, resources and subjects. The builtin roles are the engine's and are not stored.
--
-- A snapshot of all of it is kept in memory by two counters: the organization's revision (head) and the template's (below).

-- One row a project: how often its catalogue or roles have changed. An organization cannot see the project's head, and a snapshot
-- must be read with the counter that it is true at, in one transaction.
create table template (
    organization_id uuid   not null primary key,
    project_id      uuid   not null,
    revision        bigint not null,
    constraint template_project_check check (organization_id = project_id)
);
call protect_tenant_table('template', 'select, insert, update', true);

-- One row a project. What a type is, is the engine's to check; it is read and written whole.
create table catalog (
    organization_id uuid        not null primary key,
    project_id      uuid        not null,
    resource_types  jsonb       not null,
    version         bigint      not null,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    revision        bigint      not null,
    constraint catalog_project_check check (organization_id = project_id)
);
call protect_tenant_table('catalog', 'select, insert, update', true);

create table role (
    organization_id   uuid        not null,
    project_id        uuid        not null,
    role_id           uuid        not null,
    key               text        not null,
    display_name      text        not null,
    description       text        not null,
    permissions       text[]      not null,
    included_role_ids uuid[]      not null,
    create_time       timestamptz not null,
    update_time       timestamptz not null,
    revision          bigint      not null,
    primary key (organization_id, role_id),
    constraint role_key_key unique (organization_id, key)
);
-- For the project: whether a key is used by one of its organizations, and what still names a permission.
create index role_project_idx on role (project_id, key);
call protect_tenant_table('role', 'select, insert, update, delete', true);

create table user_group (
    organization_id  uuid        not null,
    project_id       uuid        not null,
    group_id         uuid        not null,
    display_name     text        not null,
    external_id      text        not null,
    create_time      timestamptz not null,
    update_time      timestamptz not null,
    revision         bigint      not null,
    -- The revision at which somebody last came or went.
    members_revision bigint      not null,
    primary key (organization_id, group_id)
);
create unique index group_external_id_key on user_group (organization_id, external_id) where external_id <> '';
call protect_tenant_table('user_group', 'select, insert, update, delete');

-- A subject is its kind and its uuid; the nil uuid for all members, who have none.
create domain subject_kind as text check (value in ('MEMBER', 'SERVICE_ACCOUNT', 'GROUP', 'ALL_MEMBERS'));

create table group_member (
    organization_id uuid         not null,
    project_id      uuid         not null,
    group_id        uuid         not null,
    subject_kind    subject_kind not null constraint group_member_kind_check check (subject_kind <> 'ALL_MEMBERS'),
    subject_id      uuid         not null,
    -- Ordered by time: the order of the list.
    membership_id   uuid         not null,
    create_time     timestamptz  not null,
    revision        bigint       not null,
    primary key (organization_id, group_id, subject_kind, subject_id),
    constraint group_member_group_fkey foreign key (organization_id, group_id)
        references user_group (organization_id, group_id) on delete cascade
);
create unique index group_member_order_idx on group_member (organization_id, group_id, membership_id);
create index group_member_subject_idx on group_member (organization_id, subject_kind, subject_id);
call protect_tenant_table('group_member', 'select, insert, delete');

create table binding (
    organization_id uuid         not null,
    project_id      uuid         not null,
    binding_id      uuid         not null,
    subject_kind    subject_kind not null,
    subject_id      uuid         not null,
    role_id         uuid         not null,
    -- Both null: the organization.
    resource_type   text,
    resource_id     text,
    effect          text         not null constraint binding_effect_check check (effect in ('ALLOW', 'DENY')),
    not_before      timestamptz,
    expire_time     timestamptz,
    source          text         not null constraint binding_source_check check (source in
                                 ('DIRECT', 'INVITATION', 'JIT', 'EMAIL_DOMAIN', 'CONNECTION_GROUP', 'SCIM_GROUP')),
    create_time     timestamptz  not null,
    update_time     timestamptz  not null,
    revision        bigint       not null,
    primary key (organization_id, binding_id),
    constraint binding_resource_check check ((resource_type is null) = (resource_id is null)),
    constraint binding_window_check check (not_before < expire_time)
);
create index binding_subject_idx on binding (organization_id, subject_kind, subject_id);
create index binding_role_idx on binding (organization_id, role_id);
create index binding_resource_idx on binding (organization_id, resource_type, resource_id) where resource_type is not null;
-- For the project: whether one of its organizations binds a role.
create index binding_project_role_idx on binding (project_id, role_id);
call protect_tenant_table('binding', 'select, insert, update, delete');

create table resource (
    organization_id uuid        not null,
    project_id      uuid        not null,
    type            text        not null,
    id              text        not null,
    -- Both null: directly under the organization.
    parent_type     text,
    parent_id       text,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    revision        bigint      not null,
    primary key (organization_id, type, id),
    constraint resource_parent_check check ((parent_type is null) = (parent_id is null))
);
create index resource_parent_idx on resource (organization_id, parent_type, parent_id, type, id);
create index resource_project_type_idx on resource (project_id, type);
call protect_tenant_table('resource', 'select, insert, update, delete');

-- What member-service told of a subject. Who is not here is active: bindings are written before the member is. REMOVED stays for
-- ever, so that a late grant to a removed id is refused.
create table subject_state (
    organization_id uuid         not null,
    project_id      uuid         not null,
    subject_kind    subject_kind not null
                    constraint subject_state_kind_check check (subject_kind in ('MEMBER', 'SERVICE_ACCOUNT')),
    subject_id      uuid         not null,
    status          text         not null
                    constraint subject_state_status_check check (status in ('ACTIVE', 'SUSPENDED', 'REMOVED')),
    -- The revision in member-service that made it so: the higher one is the newer.
    member_revision bigint       not null,
    create_time     timestamptz  not null,
    update_time     timestamptz  not null,
    revision        bigint       not null,
    primary key (organization_id, subject_kind, subject_id)
);
call protect_tenant_table('subject_state', 'select, insert, update');
