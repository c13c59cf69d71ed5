-- Who is not in subject_state was never told of: such a one may do what they are bound to, for roles are bound to a member before
-- there is one, but makes no owner. Whoever is there is in it, ACTIVE or SUSPENDED. REMOVED stays for as long as the organization.
--
-- An organization that is purged leaves nobody behind, not even those who were removed.
do $$
begin
    execute format('grant delete on subject_state to %I', current_setting('guildhall.runtime_role'));
end
$$;
