#!/bin/sh
# Makes the cluster on an empty volume, sets the roles' passwords from their files, then runs the server.
# Arguments go to the server. Nothing here removes data: what was cut short in the making has another name.
set -eu
data=/var/lib/postgresql/data
cluster=$data/17
# The last one is for who wants metrics: without a password it does not exist, or can no longer log in.
roles='brain_owner brain monitor'

for other in "$data"/[0-9]*; do
    if [ -d "$other" ] && [ "$other" != "$cluster" ] && [ "$other" != "$cluster.new" ]; then
        echo "The volume holds PostgreSQL ${other##*/}, this is 17. Dump it with the old image, restore it here." >&2
        exit 1
    fi
done

# statements CLUSTER DATABASE: one a line, in single-user mode, before anybody can connect. A mistake ends it.
# Never behind a pipe, which is a process more: after a crash the number in the lock file is often this script's in the
# next life, and PostgreSQL takes nobody but itself and its parent for the past.
statements() {
    postgres --single -c exit_on_error=on -c log_min_messages=fatal -D "$1" "$2" >/dev/null
}

if [ ! -d "$cluster" ]; then
    rm -rf "$cluster.new"
    initdb --pgdata="$cluster.new" --data-checksums --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=peer --auth-host=scram-sha-256 >/dev/null
    statements "$cluster.new" postgres <<EOF
CREATE ROLE brain_owner LOGIN;
CREATE DATABASE brain OWNER brain_owner;
EOF
    mv "$cluster.new" "$cluster"
    sync
fi

# At every start, so that a role that is new here exists and a new password in the secrets is the new password.
passwords=$(for role in $roles; do
    password=$(sed "s/'/''/g" "/run/secrets/postgres_$role")
    if [ "$role" = monitor ] && [ -z "$password" ]; then
        printf '%s\n' "DO \$\$BEGIN IF to_regrole('monitor') IS NOT NULL THEN ALTER ROLE monitor NOLOGIN; END IF; END\$\$;"
        continue
    fi
    [ -n "$password" ] || { echo "/run/secrets/postgres_$role is empty." >&2 && exit 1; }
    printf '%s\n' "DO \$\$BEGIN IF to_regrole('$role') IS NULL THEN CREATE ROLE $role LOGIN; END IF; END\$\$;"
    printf '%s\n' "ALTER ROLE $role LOGIN PASSWORD '$password';"
    # What the server counts, and no rows of any table.
    [ "$role" != monitor ] || printf '%s\n' 'GRANT pg_monitor TO monitor;' 'ALTER ROLE monitor CONNECTION LIMIT 3;'
done)
statements "$cluster" postgres <<EOF
$passwords
EOF

exec postgres -D "$cluster" -c hba_file=/etc/postgresql/pg_hba.conf -c listen_addresses='*' "$@"
