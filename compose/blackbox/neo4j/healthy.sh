#!/bin/bash
# The server answers HTTP a second after Bolt, and after a crash only when recovery is over.
exec timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7474 &&
    printf "GET / HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n" >&3 && grep -q neo4j_version <&3'
