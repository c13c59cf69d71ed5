-- Whether an address is proven stands with the identity alone: a copy for each membership changed rows of organizations behind
-- the back of their heads, events and etags.
alter table member drop column email_verified;

-- How often an invitation was mailed, and when last: the next mail may follow only after a while that doubles each time. Expiry is
-- told from the clock; the sweep writes it down, so that the index of pending ones holds nothing else.
alter table invitation
    add column sends     integer     not null default 1,
    add column send_time timestamptz not null default now();
alter table invitation alter column send_time drop default;
create index invitation_expiry_idx on invitation (expire_time) where state = 'PENDING';
