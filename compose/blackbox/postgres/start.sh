#!/bin/sh
# Makes the cluster on an empty volume, sets the roles' passwords from their files, then runs the server with the given
# arguments. Nothing here removes data: a cluster whose creation was interrupted has another name ($cluster.new).
set -eu
data=/var/lib/postgresql/data
cluster=$data/17
# `monitor` is for metrics. Without a password this role is not created; if it exists, it cannot log in any more.
roles='brain_owner brain monitor'

for other in "$data"/[0-9]*; do
    if [ -d "$other" ] && [ "$other" != "$cluster" ] && [ "$other" != "$cluster.new" ]; then
        echo "The volume holds PostgreSQL ${other##*/}, this is 17. Dump it with the old image, restore it here." >&2
        exit 1
    fi
done

# statements CLUSTER DATABASE: runs one statement per line in single-user mode, before clients can connect. An error
# ends the script. Never call it in a pipe, which adds a process: after a crash the process number in the old lock file
# is often the number of this script. PostgreSQL ignores such a lock only if the number is its own or its parent's.
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

# At every start, so that new roles are created and a changed secret changes the password.
passwords=$(for role in $roles; do
    password=$(sed "s/'/''/g" "/run/secrets/postgres_$role")
    if [ "$role" = monitor ] && [ -z "$password" ]; then
        printf '%s\n' "DO \$\$BEGIN IF to_regrole('monitor') IS NOT NULL THEN ALTER ROLE monitor NOLOGIN; END IF; END\$\$;"
        continue
    fi
    [ -n "$password" ] || { echo "/run/secrets/postgres_$role is empty." >&2 && exit 1; }
    printf '%s\n' "DO \$\$BEGIN IF to_regrole('$role') IS NULL THEN CREATE ROLE $role LOGIN; END IF; END\$\$;"
    printf '%s\n' "ALTER ROLE $role LOGIN PASSWORD '$password';"
    # The server's statistics, but no rows of any table.
    [ "$role" != monitor ] || printf '%s\n' 'GRANT pg_monitor TO monitor;' 'ALTER ROLE monitor CONNECTION LIMIT 3;'
done)
statements "$cluster" postgres <<EOF
$passwords
EOF

exec postgres -D "$cluster" -c hba_file=/etc/postgresql/pg_hba.conf -c listen_addresses='*' "$@"
