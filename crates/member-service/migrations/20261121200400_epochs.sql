-- A token's epoch is the revision of authz-service that its roles were read at: no counter is kept for it here.
alter table member drop column epoch;
