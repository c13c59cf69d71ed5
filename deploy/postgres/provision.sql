-- The roles, schemas and walls that Guildhall's three services stand on, for the database it is run in.
--
-- Run it as a superuser, in the database the services will use, as often as you like:
--
--     createdb guildhall && psql -d guildhall -f deploy/postgres/provision.sql
--
-- then give the roles their credentials, for example with `\password guildhall_org` and so on. A role without a password
-- cannot sign in where pg_hba.conf asks for one, so nothing is open in between. `guildhall dev` and the tests run this same file.
--
-- For each service <x> of org, member and authz:
--   guildhall_<x>_owner  owns schema <x>; `<x>-service migrate` runs as this role, nothing else does
--   guildhall_<x>        what `<x>-service serve` runs as: it owns nothing, sees no other schema, and row-level security binds it
--
-- The services may live in three databases or three clusters: run the file in each, and hand out the roles you need there.
do $provision$
declare
  service text;
  owner_role text;
  runtime_role text;
  role text;
begin
  -- Who may connect is a list, not everybody. PUBLIC may by default, and may create temporary tables.
  execute format('revoke all on database %I from public', current_database());
  -- Databases that were upgraded from before PostgreSQL 15 still let everybody create in schema public.
  revoke all on schema public from public;

  foreach service in array array['org', 'member', 'authz'] loop
    owner_role := format('guildhall_%s_owner', service);
    runtime_role := format('guildhall_%s', service);

    foreach role in array array[owner_role, runtime_role] loop
      if not exists (select from pg_catalog.pg_roles where rolname = role) then
        execute format('create role %I', role);
      end if;
      -- Said every time: a role that somebody made mightier would walk through the tenant walls.
      execute format(
        'alter role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls',
        role
      );
      -- No SQL text of ours names a schema; the role decides.
      execute format('alter role %I set search_path = %I', role, service);
      -- A transaction that its client forgot would hold the tenant's head row. Twice the longest deadline of a call.
      execute format('alter role %I set idle_in_transaction_session_timeout = %L', role, '60s');
      execute format('grant connect on database %I to %I', current_database(), role);
    end loop;

    execute format('create schema if not exists %I authorization %I', service, owner_role);
    execute format('alter schema %I owner to %I', service, owner_role);
    execute format('revoke all on schema %I from public', service);
    execute format('grant usage on schema %I to %I', service, runtime_role);
  end loop;
end
$provision$;
