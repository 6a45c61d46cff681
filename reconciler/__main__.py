"""`python -m reconciler` is the same as `reconciler`."""

from __future__ import annotations

import os
import sys

# Python puts the working folder first: a yaml.py in a clone would run as the user who checks the clone.
_ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if sys.path[0] == os.getcwd() != _ours:
    del sys.path[0]

from reconciler.cli import main  # noqa: E402

sys.exit(main())
