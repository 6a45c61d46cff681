#!/bin/sh
# A database directory is made where there is none; the variables are those of the published image.
set -eu
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
    password=${MYSQL_ROOT_PASSWORD:-}
    [ -z "${MYSQL_ROOT_PASSWORD_FILE:-}" ] || password=$(cat "$MYSQL_ROOT_PASSWORD_FILE")
    [ -n "$password" ] || { echo 'no root password was given' >&2; exit 1; }
    chown mysql: "$data"
    mariadb-install-db --user=mysql --datadir="$data" --skip-test-db --auth-root-authentication-method=normal >/dev/null
    {
        echo 'FLUSH PRIVILEGES;'
        echo "ALTER USER root@localhost IDENTIFIED BY '$password';"
        echo "CREATE USER root@'%' IDENTIFIED BY '$password';"
        echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
        [ -z "${MYSQL_DATABASE:-}" ] || echo "CREATE DATABASE \`$MYSQL_DATABASE\`;"
        [ -z "${MYSQL_USER:-}" ] || echo "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
        [ -z "${MYSQL_USER:-}" ] || echo "GRANT ALL ON *.* TO '$MYSQL_USER'@'%';"
    } | mariadbd --user=mysql --datadir="$data" --bootstrap
fi
exec mariadbd --user=mysql --datadir="$data" --bind-address=0.0.0.0 --innodb-buffer-pool-size=16M "$@"
