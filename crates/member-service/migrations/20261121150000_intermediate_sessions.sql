-- Sign-ins that have not entered an organization yet, new people with new organizations, and email domains whose say has changed.

-- What somebody has proven, under the organization that is to be entered or, where none was named, the project.
create table intermediate_session (
    organization_id         uuid        not null,
    project_id              uuid        not null,
    intermediate_session_id uuid        not null,
    -- Null: nobody has the address yet.
    identity_id             uuid,
    email_address           text        not null collate "C",
    -- By a factor of this sign-in; otherwise the identity says.
    email_verified          boolean     not null,
    auth_factors            jsonb       not null,
    secret_hash             bytea       not null,
    -- How often it was used to enter or to found.
    tries                   integer     not null default 0,
    expire_time             timestamptz not null,
    primary key (organization_id, intermediate_session_id)
);
create index intermediate_session_expiry_idx on intermediate_session (expire_time);
create index intermediate_session_of_identity_idx on intermediate_session (project_id, identity_id);
call protect_tenant_table('intermediate_session', 'select, insert, update, delete');

-- The address that the code was mailed to. Null: nobody got a mail. The row is there all the same, so that both cases do the same work.
alter table challenge add column email_address text collate "C";

-- An organization that somebody is making by signing up, under the project: what is to be there in the end. The row outlives the
-- making, so that the same request makes nothing again.
create table founding (
    organization_id         uuid        not null,
    project_id              uuid        not null,
    intermediate_session_id uuid        not null,
    -- The organization's id, chosen before it is there.
    founded_id              uuid        not null,
    email_address           text        not null collate "C",
    person_name             text        not null,
    plan                    jsonb       not null,
    -- Of the sign-in that it comes of.
    auth_factors            jsonb       not null,
    -- Argon2id in PHC form; null: none was given. Gone with the making.
    password_hash           text,
    request_id              text        not null,
    -- A keyed tag of the request: it may hold a password.
    body_tag                bytea       not null,
    done                    boolean     not null default false,
    next_try_time           timestamptz not null,
    expire_time             timestamptz not null,
    primary key (organization_id, intermediate_session_id)
);
create index founding_next_try_idx on founding (next_try_time) where not done;
create index founding_expiry_idx on founding (expire_time) where done;
call protect_tenant_table('founding', 'select, insert, update, delete');

-- Members of an organization with an address under a domain whose roles are to be looked at anew, up to the last that was.
create table domain_review (
    organization_id uuid        not null,
    project_id      uuid        not null,
    domain          text        not null collate "C",
    after_member_id uuid,
    next_try_time   timestamptz not null default now(),
    primary key (organization_id, domain)
);
create index domain_review_next_try_idx on domain_review (next_try_time);
call protect_tenant_table('domain_review', 'select, insert, update, delete');

-- Where a person may go, in the order of the organizations' creation.
create index member_of_identity_by_organization_idx on member (project_id, identity_id, organization_id);
create index invitation_of_address_idx on invitation (project_id, email_address, organization_id) where state = 'PENDING';
