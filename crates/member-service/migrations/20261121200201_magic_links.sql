-- The link that is mailed beside the code of a challenge, or in its place.
alter table challenge
    -- SHA-256 of its secret. Null: the mail has no link.
    add column link_hash bytea,
    -- Null: the mail has no code.
    alter column code_tag drop not null;
