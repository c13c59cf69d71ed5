-- A project's own head says whether the project is archived, and with it everything in the project is shut. So its organizations
-- read that head beside their own, as they read the project's templates: to see it, not to change it.
create policy template on head for select using (
    current_setting('guildhall.scope', true) = 'organization'
    and organization_id = project_id
    and project_id = nullif(current_setting('guildhall.project_id', true), '')::uuid
);
