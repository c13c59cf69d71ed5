-- Which beginning a review is of: whoever still works on an earlier one by what was known then neither ends this one nor moves it on.
alter table domain_review add column generation uuid not null default gen_random_uuid();
