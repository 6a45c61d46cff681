"""A container's health check: exit 0 while the program keeps writing the time into a file.

Arguments: the file, the program's name.
"""

import sys
import time
from pathlib import Path

heartbeat, program = sys.argv[1:]
try:
    age = time.time() - float(Path(heartbeat).read_text())
except (OSError, ValueError) as error:
    sys.exit(f"no heartbeat: {error}")
print(f"the {program} was seen {age:.0f} s ago")
sys.exit(age > 60)
