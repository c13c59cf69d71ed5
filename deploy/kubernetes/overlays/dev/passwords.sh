#!/bin/sh
# Runs once, after provision.sql: gives each role its password. On standard input, so that no command line shows one.
set -eu
for role in guildhall_org guildhall_org_owner guildhall_member guildhall_member_owner guildhall_authz guildhall_authz_owner; do
    printf "alter role %s password '%s';\n" "$role" "$(cat "/run/passwords/$role")"
done | psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"
