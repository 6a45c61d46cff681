#!/bin/bash
# A health check in plain bash: exit 0 if http://NAME:PORT/PATH answers 200.
#   healthy.sh NAME PORT PATH
exec 3<>"/dev/tcp/$1/$2" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$3" "$1" >&3
read -r _ status _ <&3
echo "$3 answers ${status:-nothing}"
[ "$status" = 200 ]
