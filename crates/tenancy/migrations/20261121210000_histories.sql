-- A database that was restored from a dump counts its transactions anew, while the events that came with it bear the numbers of the old
-- one. So the numbers of the feed are counted from where the history began that is being written now: see event.feed_transaction, and
-- `migrate --restored`. One row, and of no tenant.
create table history (
    singleton           boolean not null default true primary key constraint history_singleton_check check (singleton),
    -- Added to the number of each transaction that writes events.
    transactions_before bigint  not null default 0
);
insert into history default values;

do $$
begin
    execute format('grant select on history to %I', current_setting('guildhall.runtime_role'));
end
$$;
