-- Second factors of identities, and sign-ins that wait for one.

alter table identity
    -- Sealed. Null: no authenticator app is enrolled.
    add column totp_secret bytea,
    -- The last 30 seconds of which a code was taken, counted since 1970: none of them, nor an earlier one, is taken again.
    add column totp_step bigint not null default 0,
    -- One that is being enrolled, sealed, and until when it may be confirmed.
    add column pending_totp_secret bytea,
    add column pending_totp_expire_time timestamptz,
    -- The password has fewer characters than one that may stand alone: it lets in beside a second factor only.
    add column password_is_short boolean not null default false,
    -- Sessions on the strength of what was proven earlier are over.
    add column sessions_from timestamptz;
create index identity_sessions_from_idx on identity (sessions_from) where sessions_from is not null;

create table recovery_code (
    organization_id uuid  not null,
    project_id      uuid  not null,
    identity_id     uuid  not null,
    -- SHA-256 of the identity and the code, which has 80 random bits.
    hash            bytea not null,
    primary key (organization_id, identity_id, hash),
    foreign key (organization_id, identity_id) references identity (organization_id, identity_id) on delete cascade
);
call protect_tenant_table('recovery_code', 'select, insert, update, delete');

alter table intermediate_session
    -- The session that comes of it ends then at the latest.
    add column no_later_than timestamptz,
    -- The authenticator app that is being enrolled with it, sealed.
    add column enrollment bytea,
    -- Codes of second factors that were tried with it.
    add column code_tries integer not null default 0;

alter table attempt drop constraint attempt_kind_check;
alter table attempt
    add constraint attempt_kind_check check (kind in ('PASSWORD', 'EMAIL_CODE', 'SECOND_FACTOR')),
    -- How many windows in a row were used up: each makes the next one twice as long.
    add column used_up integer not null default 0;
