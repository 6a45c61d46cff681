#!/bin/bash
# Sends a query, as clients do. HTTP answers one second after Bolt, and after a crash only when the recovery is over.
# After a full disk the server still answers although its database stays down: only a query shows that.
exec timeout 4 bash -c '
    key=$(printf "neo4j:%s" "$(</run/secrets/neo4j_password)" | base64 --wrap=0)
    body="{\"statement\": \"RETURN 1\"}"
    exec 3<>/dev/tcp/127.0.0.1/7474 &&
    printf "POST /db/neo4j/query/v2 HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\n%s\r\n%s\r\n\r\n%s" \
        "$key" "Content-Type: application/json" "Content-Length: ${#body}" "$body" >&3 &&
    grep -q "\"values\":\[\[1\]\]" <&3'
