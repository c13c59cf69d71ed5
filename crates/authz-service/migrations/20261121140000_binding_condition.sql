-- The CEL expression that must be true for a binding to apply. Null: always. Compiled before it is stored; a text that a later version
-- cannot compile any more allows nothing and denies always.
alter table binding add column condition text
    constraint binding_condition_check check (octet_length(condition) between 1 and 4096);
