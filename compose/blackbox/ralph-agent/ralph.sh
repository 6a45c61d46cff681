#!/bin/sh
# The loop's command, for the container and for `docker exec`.
PYTHONPATH=/opt/ralph-agent exec python3 -m ralph "$@"
