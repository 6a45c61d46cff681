#!/bin/sh
# Starts a program that listens on one network of the container: the one on which NAME is an alias of it. The programs
# here ask nobody for a password, and on its other networks are those that they only read from.
#   listen.sh NAME:PORT PROGRAM [ARGUMENT…]
set -eu
name=${1%:*} port=${1##*:}
shift
address=$(getent ahostsv4 "$name" | while read -r found _; do echo "$found" && break; done)
[ -n "$address" ] || { echo "$name is no alias of this container on any of its networks" >&2 && exit 1; }
exec "$@" --web.listen-address="$address:$port"
