-- Keys of service accounts whose private half we never see, and sessions in which somebody acts as a member.

-- A key is a secret, known by its hash, or a public key.
alter table api_key alter column secret_hash drop not null;
alter table api_key
    add column public_jwk text,
    -- RFC 7638, SHA-256.
    add column thumbprint text collate "C",
    add constraint api_key_kind_check
        check ((secret_hash is null) = (public_jwk is not null) and (public_jwk is null) = (thumbprint is null));
create unique index api_key_thumbprint_key on api_key (organization_id, service_account_id, thumbprint) where revoke_time is null;

-- Assertions that were used and have not expired yet: each is good once.
create table used_assertion (
    organization_id uuid        not null,
    project_id      uuid        not null,
    api_key_id      uuid        not null,
    -- SHA-256 of the `jti`.
    token_hash      bytea       not null,
    expire_time     timestamptz not null,
    primary key (organization_id, api_key_id, token_hash)
);
create index used_assertion_expiry_idx on used_assertion (expire_time);
call protect_tenant_table('used_assertion', 'select, insert, update, delete');

-- Access tokens of service accounts that were revoked and have not expired yet. The event tells of them; the row, that it was told.
create table revoked_token (
    organization_id uuid        not null,
    project_id      uuid        not null,
    token_id        uuid        not null,
    expire_time     timestamptz not null,
    primary key (organization_id, token_id)
);
create index revoked_token_expiry_idx on revoked_token (expire_time);
call protect_tenant_table('revoked_token', 'select, insert, update, delete');

-- Who acts as the member, as the text of an event's actor. Null: the member themselves.
alter table session add column impersonator text;
