-- Service accounts that are suspended and deleted; identities that are read by id, changed, suspended and taken over.

-- The revision that last changed the state: an older word never undoes a newer one.
alter table service_account add column state_revision bigint not null default 0;

alter table identity
    add column picture_uri text not null default '',
    -- Newest first.
    add column retired_email_addresses text[] not null default '{}';

-- Whoever asks for an identity names the project alone.
create index identity_by_id_idx on identity (project_id, identity_id);
-- Few, and looked for again and again: none of them may keep a session.
create index identity_suspended_idx on identity (project_id, identity_id) where state = 'SUSPENDED';
create index session_of_identity_idx on session (project_id, identity_id);

-- The memberships of one person, in the order that they are listed in.
drop index member_of_identity_idx;
create index member_of_identity_idx on member (project_id, identity_id, member_id);
