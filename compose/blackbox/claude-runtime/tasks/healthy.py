"""The container's health check: 0 while the worker looks at its queue."""

import sys
import time
from pathlib import Path

try:
    age = time.time() - float(Path("/tmp/tasks/heartbeat").read_text())  # noqa: S108 - the container's own tmpfs
except (OSError, ValueError) as error:
    sys.exit(f"no heartbeat: {error}")
print(f"the worker was seen {age:.0f} s ago")
sys.exit(age > 60)
