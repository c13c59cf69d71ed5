-- The identity providers of organizations.

create table connection (
    organization_id   uuid        not null,
    connection_id     uuid        not null,
    project_id        uuid        not null,
    kind              text        not null constraint connection_kind_check check (kind in ('OIDC', 'SAML')),
    display_name      text        not null,
    issuer            text        not null,
    client_id         text,
    -- Sealed for this connection and this issuer; the keys do not stand in the database.
    client_secret     bytea,
    saml              jsonb,
    attribute_mapping jsonb       not null,
    group_role_ids    jsonb       not null,
    state             text        not null constraint connection_state_check check (state in ('INACTIVE', 'ACTIVE')),
    revision          bigint      not null,
    create_time       timestamptz not null,
    update_time       timestamptz not null,
    -- When it was last tested.
    test_time         timestamptz,
    primary key (organization_id, connection_id),
    constraint connection_project_check check (organization_id <> project_id),
    constraint connection_client_check check ((kind = 'OIDC') = (client_id is not null)),
    constraint connection_secret_check check (kind = 'OIDC' or client_secret is null),
    constraint connection_saml_check check ((kind = 'SAML') = (saml is not null))
);
call protect_tenant_table('connection', 'select, insert, update, delete');
