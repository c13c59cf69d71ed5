-- A member's address is its identity's. The key below makes it so, whoever writes what at the same moment: a member with an address
-- that the identity no longer has cannot be inserted, and when the identity's changes, the members' change with it in the same
-- statement. So it is unique in an organization because it is in the pool. Whether it is proven stands with the identity alone.
select set_config('guildhall.scope', 'cluster', true);
update member m set email_address = i.email_address
    from identity i
    where i.project_id = m.project_id and i.identity_id = m.identity_id and i.email_address <> m.email_address;
alter table identity add constraint identity_address_key unique (project_id, identity_id, email_address);
-- The constraint's index finds by id as well.
drop index identity_by_id_idx;
alter table member add constraint member_address_fkey
    foreign key (project_id, identity_id, email_address)
    references identity (project_id, identity_id, email_address) on update cascade;
