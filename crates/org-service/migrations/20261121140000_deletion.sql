-- What a deletion remembers, and what finds the organizations whose grace is over.
alter table organization
    -- The state that an undeletion brings back.
    add column deleted_from text
        constraint organization_deleted_from_check check (deleted_from in ('ACTIVE', 'SUSPENDED')),
    add constraint organization_deleted_check
        check ((state = 'DELETED') = (purge_time is not null) and (state = 'DELETED') = (deleted_from is not null));
create index organization_purge_idx on organization (purge_time) where purge_time is not null;
