-- A refresh changes a session's end. With an index on it each refresh would have all the table's indexes written, for then the row's new
-- version cannot be a heap-only one. The hour that it lies in changes seldom, and leads the sweep to the sessions that are over.
alter table session add column expire_hour timestamptz not null
    generated always as (date_bin('1 hour', expire_time, '2000-01-01 00:00:00+00')) stored;
drop index session_expiry_idx;
create index session_expire_hour_idx on session (expire_hour);
-- Room for a version or two in the page.
alter table session set (fillfactor = 80);

-- A refresh remembers the token that it used up, and forgets the one of a hundred refreshes before: found by its number, and not among the hundred.
alter table used_token drop constraint used_token_pkey, add primary key (organization_id, session_id, rotation);
