#!/bin/sh
# The command of the queue, for the container itself and for `docker exec`.
PYTHONPATH=/opt/claude-runtime exec python3 -m tasks "$@"
