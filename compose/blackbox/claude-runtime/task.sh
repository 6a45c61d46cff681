#!/bin/sh
# The queue's command, for the container and for `docker exec`.
PYTHONPATH=/opt/claude-runtime exec python3 -m tasks "$@"
