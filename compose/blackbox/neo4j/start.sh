#!/bin/sh
# Sets the password of a new volume and runs the server in one Java process.
# HEAP, PAGE_CACHE and TRANSACTIONS (such as 768m) are sizes of its memory. Class data, compiled code and buffers are
# bounded as well, so that the sum stays below the container's limit. Transactions are refused before the heap is full.
set -eu
home=/opt/neo4j
conf=/tmp/conf
mkdir -p "$conf"
cat /etc/neo4j/neo4j.conf - >"$conf/neo4j.conf" <<EOF
server.memory.heap.initial_size=$HEAP
server.memory.heap.max_size=$HEAP
server.memory.pagecache.size=$PAGE_CACHE
dbms.memory.transaction.total.max=$TRANSACTIONS
EOF
export NEO4J_HOME=$home NEO4J_CONF=$conf

if [ ! -e /data/databases/system ]; then
    # In a file: every process can read the arguments of others. neo4j-admin itself would pass them to a second process.
    # After `--`: a password may begin with a dash.
    (umask 077 && cat >/tmp/arguments) <<EOF
org.neo4j.cli.AdminTool dbms set-initial-password -- "$(sed 's/[\\"]/\\&/g' /run/secrets/neo4j_password)"
EOF
    java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$home/lib/*" @/tmp/arguments >/dev/null
    rm /tmp/arguments
fi

exec java -cp "$home/lib/*" \
    "-Xms$HEAP" "-Xmx$HEAP" -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -XX:-OmitStackTraceInFastThrow \
    -XX:MaxMetaspaceSize=256m -XX:ReservedCodeCacheSize=160m -XX:MaxDirectMemorySize=128m \
    -XX:+DisableExplicitGC -Djdk.nio.maxCachedBufferSize=1024 -Dio.netty.tryReflectionSetAccessible=true \
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED \
    --add-opens=java.base/sun.nio.ch=ALL-UNNAMED \
    -Djna.boot.library.path="$home/native" -Djna.nounpack=true -Dlog4j2.disable.jmx=true -Dfile.encoding=UTF-8 \
    org.neo4j.server.CommunityEntryPoint --home-dir="$home" --config-dir="$conf" --console-mode
