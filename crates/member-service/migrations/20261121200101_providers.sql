-- Signing in at identity providers.

-- Sign-ins under way, under the project.
create table sso_sign_in (
    organization_id uuid        not null,
    project_id      uuid        not null,
    sso_sign_in_id  uuid        not null,
    state_hash      bytea       not null,
    -- The nonce and the PKCE verifier, sealed.
    secrets         bytea       not null,
    -- The caller's own.
    code_challenge  text        not null,
    -- Whose connection it is; null: the project's.
    entered_id      uuid,
    connection_id   uuid        not null,
    issuer          text        not null,
    redirect_uri    text        not null,
    expire_time     timestamptz not null,
    primary key (organization_id, sso_sign_in_id)
);
create index sso_sign_in_expiry_idx on sso_sign_in (expire_time);
call protect_tenant_table('sso_sign_in', 'select, insert, delete');

-- Who somebody at a provider is here, under the organization whose connection it is, or the project. The issuer is in the key: a
-- connection that is pointed at another provider knows nobody there.
create table provider_account (
    organization_id uuid        not null,
    project_id      uuid        not null,
    connection_id   uuid        not null,
    issuer          text        not null collate "C",
    subject         text        not null collate "C",
    identity_id     uuid        not null,
    create_time     timestamptz not null,
    primary key (organization_id, connection_id, issuer, subject)
);
call protect_tenant_table('provider_account', 'select, insert, delete');

-- What an organization's provider said of whoever came back from a sign-in, until they have entered: their factor names the sign-in.
create table vouching (
    organization_id uuid        not null,
    project_id      uuid        not null,
    sso_sign_in_id  uuid        not null,
    connection_id   uuid        not null,
    issuer          text        not null,
    subject         text        not null,
    -- Null: none, or none that is an address.
    email_address   text,
    email_verified  boolean     not null,
    display_name    text        not null,
    external_id     text,
    role_ids        text[]      not null,
    expire_time     timestamptz not null,
    primary key (organization_id, sso_sign_in_id)
);
create index vouching_expiry_idx on vouching (expire_time);
call protect_tenant_table('vouching', 'select, insert, delete');

-- The connection whose groups a member's roles of source CONNECTION_GROUP come from.
create table connection_member (
    organization_id uuid not null,
    project_id      uuid not null,
    member_id       uuid not null,
    connection_id   uuid not null,
    -- When the sign-in that gave them was completed.
    sign_in_time    timestamptz not null,
    primary key (organization_id, member_id),
    foreign key (organization_id, member_id) references member (organization_id, member_id) on delete cascade
);
create index connection_member_idx on connection_member (organization_id, connection_id);
call protect_tenant_table('connection_member', 'select, insert, update, delete');

-- Connections that are no more, or no more what they were. What came of them until then is ended again and again for a while, for it may
-- have been on its way.
create table ended_connection (
    organization_id uuid        not null,
    project_id      uuid        not null,
    connection_id   uuid        not null,
    -- What began later came by what the connection is now.
    end_time        timestamptz not null,
    is_deleted      boolean     not null,
    next_try_time   timestamptz not null default now(),
    expire_time     timestamptz not null,
    primary key (organization_id, connection_id)
);
create index ended_connection_next_try_idx on ended_connection (next_try_time);
call protect_tenant_table('ended_connection', 'select, insert, update, delete');

-- The connection that a sign-in came by, as its factors say.
alter table session add column connection_id text
    generated always as (jsonb_path_query_first(auth_factors, '$[*].connection_id') #>> '{}') stored;
create index session_of_connection_idx on session (project_id, connection_id) where connection_id is not null;
alter table intermediate_session add column connection_id text
    generated always as (jsonb_path_query_first(auth_factors, '$[*].connection_id') #>> '{}') stored;
create index intermediate_session_of_connection_idx on intermediate_session (project_id, connection_id)
    where connection_id is not null;
