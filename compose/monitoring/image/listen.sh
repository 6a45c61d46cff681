#!/bin/sh
# Starts a program that listens on one network of the container only: the one where the container has the alias NAME.
# These programs need no password from their clients. On the container's other networks are services that they read.
#   listen.sh NAME:PORT PROGRAM [ARGUMENT…]
set -eu
name=${1%:*} port=${1##*:}
shift
address=$(getent ahostsv4 "$name" | while read -r found _; do echo "$found" && break; done)
[ -n "$address" ] || { echo "$name is no alias of this container on any of its networks" >&2 && exit 1; }
exec "$@" --web.listen-address="$address:$port"
