#!/bin/sh
# The command of the loop, for the container itself and for `docker exec`.
PYTHONPATH=/opt/ralph-agent exec python3 -m ralph "$@"
