-- How long a session lasts is the organization's to say. `expire_time` is when it ends if it is not refreshed again.
alter table session
    -- However busy it is.
    add column latest_time timestamptz;
select set_config('guildhall.scope', 'cluster', true);
update session set latest_time = expire_time, expire_time = least(expire_time, last_active_time + interval '7 days');
alter table session alter column latest_time set not null;
