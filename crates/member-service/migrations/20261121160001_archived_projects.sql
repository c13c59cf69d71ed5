-- The archived projects: few, and looked for again and again, for none of their sessions, codes and mails stays.
create index head_archived_idx on head (project_id) where organization_id = project_id and state <> 'ACTIVE';
create index outbox_of_project_idx on outbox (project_id);
