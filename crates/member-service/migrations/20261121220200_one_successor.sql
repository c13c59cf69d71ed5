-- A refresh token is always traded for the same next one: there is no second beside it.
alter table session drop column sibling_hash;
