"""The container's health check: 0 while the loop beats. A paused agent is healthy: a restart would mend nothing."""

import sys
import time
from pathlib import Path

try:
    age = time.time() - float(Path("/tmp/ralph/heartbeat").read_text())  # noqa: S108 - the container's own tmpfs
except (OSError, ValueError) as error:
    sys.exit(f"no heartbeat: {error}")
print(f"the loop was seen {age:.0f} s ago")
sys.exit(age > 60)
