-- For those who look for apps that are sealed under a former key: most people have none.
create index identity_totp on identity (organization_id, identity_id) where totp_secret is not null;
