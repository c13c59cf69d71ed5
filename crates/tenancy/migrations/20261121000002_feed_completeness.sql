-- When an event was appended, by the database's own clock: no later than its transaction's commit. `time` is what the service said
-- and what the hash covers; of the two clocks only this one can be compared with the database's now(). A reader of the feed is told by
-- it up to when the feed is complete: see crate tenancy, module feed.
alter table event add column append_time timestamptz not null default clock_timestamp();
