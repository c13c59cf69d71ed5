-- Signing in at identity providers: where they may send browsers back to, and connections of a project itself.

alter table project add column redirect_uris text[] not null default '{}';

-- A project's own stands under the project's uuid, as its other rows do. Roles are an organization's matter.
alter table connection drop constraint connection_project_check;
alter table connection add constraint connection_project_check
    check (organization_id <> project_id or (kind = 'OIDC' and group_role_ids = '{}'));
-- A sign-in may name a connection alone.
create index connection_of_project_idx on connection (project_id, connection_id);
