#!/bin/sh
# Makes the database on an empty volume, then runs it. If the creation is interrupted, the next start repeats it.
# Once the file "made" exists, nothing here removes data.
set -eu
data=/var/lib/postgresql/data
cluster=$data/cluster
: "${SHOP_DB_PASSWORD:?is not set}"

# One statement per line, in single-user mode: nobody can connect before the tables are there.
statements() { postgres --single -D "$cluster" "$1" >/dev/null; }

if [ ! -e "$data/made" ]; then
    rm -rf "$cluster"
    initdb --pgdata="$cluster" --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
    echo 'host all all all scram-sha-256' >>"$cluster/pg_hba.conf"
    printf '%s\n' 'CREATE DATABASE shop;' 'CREATE ROLE shop LOGIN;' | statements postgres
    statements shop </usr/local/share/tables.sql
    touch "$data/made"
fi
# At every start, so that a changed secret changes the password.
echo "ALTER ROLE shop PASSWORD '$SHOP_DB_PASSWORD';" | statements postgres

exec postgres -D "$cluster" -c listen_addresses='*' -c shared_buffers=32MB -c max_connections=20
