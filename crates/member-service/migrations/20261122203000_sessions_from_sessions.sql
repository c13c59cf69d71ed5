-- Sessions that were ended. What came of them, by going to another organization, is looked for until nothing can be on its way any more.
create table ended_session (
    organization_id uuid        not null,
    project_id      uuid        not null,
    session_id      uuid        not null,
    next_try_time   timestamptz not null default now(),
    expire_time     timestamptz not null,
    primary key (organization_id, session_id)
);
create index ended_session_next_try_idx on ended_session (next_try_time);
call protect_tenant_table('ended_session', 'select, insert, update, delete');

-- The session at another organization that one came of, as the first of its factors says: all of them were taken over together.
create index session_of_session_idx on session (project_id, (auth_factors -> 0 ->> 'session_id'))
    where auth_factors -> 0 ->> 'session_id' is not null;
create index intermediate_session_of_session_idx on intermediate_session (project_id, (auth_factors -> 0 ->> 'session_id'))
    where auth_factors -> 0 ->> 'session_id' is not null;
