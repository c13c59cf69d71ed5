-- People: identities with their credentials, members, invitations, sessions; service accounts with their keys; and what waits to
-- be done or to lapse.
--
-- An identity stands under its user pool: the project's uuid where the project shares one pool, else its organization's.

create table identity (
    organization_id uuid        not null,
    project_id      uuid        not null,
    identity_id     uuid        not null,
    -- Normalized: one address has one spelling here, so that the key below holds whatever the spelling it came in.
    email_address   text        not null collate "C",
    email_verified  boolean     not null default false,
    display_name    text        not null default '',
    state           text        not null default 'ACTIVE'
                                constraint identity_state_check check (state in ('ACTIVE', 'SUSPENDED')),
    -- Argon2id in PHC form. Null: none is set.
    password_hash   text,
    revision        bigint      not null,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    primary key (organization_id, identity_id),
    constraint identity_email_key unique (organization_id, email_address)
);
call protect_tenant_table('identity', 'select, insert, update, delete');

create table member (
    organization_id    uuid        not null,
    project_id         uuid        not null,
    member_id          uuid        not null,
    identity_id        uuid        not null,
    -- The identity's address and whether it is proven, kept here too: an organization's scope does not see the shared pool.
    email_address      text        not null collate "C",
    email_verified     boolean     not null,
    display_name       text        not null,
    external_id        text        collate "C",
    state              text        not null default 'ACTIVE'
                                   constraint member_state_check check (state in ('ACTIVE', 'SUSPENDED')),
    -- The revision that last changed the state: an older word never undoes a newer one.
    state_revision     bigint      not null default 0,
    is_breakglass      boolean     not null default false,
    trusted_metadata   jsonb       not null default '{}',
    untrusted_metadata jsonb       not null default '{}',
    epoch              bigint      not null default 1,
    last_sign_in_time  timestamptz,
    revision           bigint      not null,
    create_time        timestamptz not null,
    update_time        timestamptz not null,
    primary key (organization_id, member_id),
    constraint member_email_key unique (organization_id, email_address),
    constraint member_identity_key unique (organization_id, identity_id),
    constraint member_external_id_key unique (organization_id, external_id)
);
-- The memberships of one person: asked for in the project's scope.
create index member_of_identity_idx on member (project_id, identity_id);
call protect_tenant_table('member', 'select, insert, update, delete');

-- Members whose roles are being bound before they are there themselves. A row that is left over leads to bindings to take back.
create table prospect (
    organization_id uuid        not null,
    project_id      uuid        not null,
    member_id       uuid        not null,
    -- Given up: the bindings are being taken back, and the member must not come to be any more.
    abandoned       boolean     not null default false,
    create_time     timestamptz not null default now(),
    primary key (organization_id, member_id)
);
create index prospect_age_idx on prospect (create_time);
call protect_tenant_table('prospect', 'select, insert, update, delete');

create table invitation (
    organization_id uuid        not null,
    project_id      uuid        not null,
    invitation_id   uuid        not null,
    email_address   text        not null collate "C",
    role_ids        uuid[]      not null,
    inviter         text        not null,
    -- The inviter is a service account of the project, which holds no roles and may grant any.
    inviter_is_project boolean  not null,
    -- EXPIRED only once a new invitation took the address over; until then the clock tells.
    state           text        not null default 'PENDING'
                                constraint invitation_state_check check (state in ('PENDING', 'ACCEPTED', 'REVOKED', 'EXPIRED')),
    expire_time     timestamptz not null,
    message         text        not null,
    secret_hash     bytea       not null,
    member_id       uuid,
    revision        bigint      not null,
    create_time     timestamptz not null,
    update_time     timestamptz not null,
    primary key (organization_id, invitation_id)
);
create unique index invitation_pending_key on invitation (organization_id, email_address) where state = 'PENDING';
call protect_tenant_table('invitation', 'select, insert, update, delete');

create table session (
    organization_id   uuid        not null,
    project_id        uuid        not null,
    session_id        uuid        not null,
    identity_id       uuid        not null,
    member_id         uuid        not null,
    organization_slug text        not null,
    auth_factors      jsonb       not null,
    user_agent        text        not null,
    ip_address        text        not null,
    -- The refresh token that is good now, and the second one that was given because the answer with the first was lost.
    refresh_hash      bytea       not null,
    sibling_hash      bytea,
    -- The one that was traded in for them, good for a retry for a few seconds after `rotate_time`.
    previous_hash     bytea,
    rotate_time       timestamptz,
    rotation          bigint      not null default 0,
    last_active_time  timestamptz not null,
    expire_time       timestamptz not null,
    revision          bigint      not null,
    create_time       timestamptz not null,
    primary key (organization_id, session_id),
    foreign key (organization_id, member_id) references member (organization_id, member_id)
);
create index session_of_member_idx on session (organization_id, member_id);
create index session_expiry_idx on session (expire_time);
call protect_tenant_table('session', 'select, insert, update, delete');

-- The refresh tokens of a session that were used up: whoever shows one of them has stolen it, or was stolen from.
create table used_token (
    organization_id uuid   not null,
    project_id      uuid   not null,
    session_id      uuid   not null,
    hash            bytea  not null,
    rotation        bigint not null,
    primary key (organization_id, session_id, hash),
    foreign key (organization_id, session_id) references session (organization_id, session_id) on delete cascade
);
call protect_tenant_table('used_token', 'select, insert, update, delete');

-- Emailed codes under way, under the organization that is to be entered, or the project where none was named.
create table challenge (
    organization_id uuid        not null,
    project_id      uuid        not null,
    challenge_id    uuid        not null,
    -- A keyed tag of the pool and address, for the next challenge to find this one by.
    address_tag     bytea       not null,
    -- Null: nobody has the address. The row is there all the same, so that both cases do the same work.
    identity_id     uuid,
    code_tag        bytea       not null,
    tries           integer     not null default 0,
    expire_time     timestamptz not null,
    primary key (organization_id, challenge_id)
);
-- Whoever answers names the challenge and the project alone.
create index challenge_id_idx on challenge (project_id, challenge_id);
create index challenge_address_idx on challenge (organization_id, address_tag);
create index challenge_expiry_idx on challenge (expire_time);
call protect_tenant_table('challenge', 'select, insert, update, delete');

-- How often an address was tried in the running window, whether somebody has it or not.
create table attempt (
    organization_id uuid        not null,
    project_id      uuid        not null,
    kind            text        not null constraint attempt_kind_check check (kind in ('PASSWORD', 'EMAIL_CODE')),
    address_tag     bytea       not null,
    tries           integer     not null,
    window_end      timestamptz not null,
    primary key (organization_id, kind, address_tag)
);
create index attempt_window_idx on attempt (window_end);
call protect_tenant_table('attempt', 'select, insert, update, delete');

create table service_account (
    organization_id    uuid        not null,
    project_id         uuid        not null,
    service_account_id uuid        not null,
    display_name       text        not null,
    state              text        not null default 'ACTIVE'
                                   constraint service_account_state_check check (state in ('ACTIVE', 'SUSPENDED')),
    revision           bigint      not null,
    create_time        timestamptz not null,
    update_time        timestamptz not null,
    primary key (organization_id, service_account_id)
);
call protect_tenant_table('service_account', 'select, insert, update, delete');

create table api_key (
    organization_id    uuid        not null,
    project_id         uuid        not null,
    api_key_id         uuid        not null,
    service_account_id uuid        not null,
    display_name       text        not null,
    prefix             text        not null,
    secret_hash        bytea       not null,
    expire_time        timestamptz,
    last_used_time     timestamptz,
    revoke_time        timestamptz,
    revision           bigint      not null,
    create_time        timestamptz not null,
    update_time        timestamptz not null,
    primary key (organization_id, api_key_id),
    foreign key (organization_id, service_account_id) references service_account (organization_id, service_account_id)
);
create index api_key_of_account_idx on api_key (organization_id, service_account_id);
call protect_tenant_table('api_key', 'select, insert, update, delete');

-- Mail to be sent, sealed, for it holds secrets.
create table outbox (
    organization_id uuid        not null,
    project_id      uuid        not null,
    mail_id         uuid        not null,
    content         bytea       not null,
    tries           integer     not null default 0,
    next_try_time   timestamptz not null default now(),
    give_up_time    timestamptz not null,
    primary key (organization_id, mail_id)
);
create index outbox_next_try_idx on outbox (next_try_time);
call protect_tenant_table('outbox', 'select, insert, update, delete');
