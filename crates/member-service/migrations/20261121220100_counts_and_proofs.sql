-- How many members an organization has, kept beside them: counted anew, a hundred thousand rows were read to say one number, for each
-- member that is added and each time that somebody looks at the organization.
create table member_count (
    organization_id  uuid    not null primary key,
    project_id       uuid    not null,
    members          bigint  not null
);
call protect_tenant_table('member_count', 'select, insert, update, delete');

create function count_members() returns trigger language plpgsql set search_path from current as $$
begin
    if tg_op = 'INSERT' then
        insert into member_count as c (organization_id, project_id, members)
        select organization_id, project_id, count(*) from changed group by organization_id, project_id
        on conflict (organization_id) do update set members = c.members + excluded.members;
    else
        update member_count c set members = c.members - gone.members
        from (select organization_id, count(*) as members from changed group by organization_id) as gone
        where c.organization_id = gone.organization_id;
    end if;
    return null;
end
$$;
create trigger member_is_counted after insert on member referencing new table as changed
    for each statement execute function count_members();
create trigger member_is_counted_no_more after delete on member referencing old table as changed
    for each statement execute function count_members();

select set_config('guildhall.scope', 'cluster', true);
insert into member_count select organization_id, project_id, count(*) from member group by organization_id, project_id;

-- Which of these people have proven their addresses, of those who are members of the organization in whose scope it is asked. It stands with their
-- identities, which in a shared pool are behind the organization's wall: the wall is opened for this one question.
create function proven_members(organization_id uuid, people uuid[]) returns setof uuid
language plpgsql set search_path from current as $$
declare
    project uuid := current_setting('guildhall.project_id');
begin
    if current_setting('guildhall.scope') <> 'organization'
        or current_setting('guildhall.organization_id')::uuid is distinct from $1 then
        raise exception 'it is asked in the scope of the organization';
    end if;
    perform set_config('guildhall.scope', 'project', true);
    -- For each by the keys of both tables (`offset 0` keeps it so): joined, one page could cost a walk through all members.
    return query
        select p.id from unnest($2) as p (id)
        where exists (select from member m where m.organization_id = $1 and m.identity_id = p.id offset 0)
            and exists (
                select from identity i
                where i.organization_id in (project, $1) and i.identity_id = p.id and i.email_verified offset 0);
    perform set_config('guildhall.scope', 'organization', true);
end
$$;
