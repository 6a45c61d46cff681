"""Where the program starts. `python -m reconciler` is the same as `reconciler`."""

from __future__ import annotations

import gc
import os
import sys

from reconciler import __version__

RARELY = 50_000
"""Objects until Python looks for circles of them. Imports make many that stay: at the usual 700 a fifth of the time of
a short verb goes into these looks."""


def main() -> int:
    """The whole program; returns the process's exit code."""
    if sys.argv[1:] == ["--version"]:  # asked often, by scripts and hooks: all that follows takes three times as long
        print(f"reconciler {__version__}")
        return 0
    gc.set_threshold(RARELY)
    from reconciler import cli

    return cli.main()


if __name__ == "__main__":
    # Python puts the working folder first: a yaml.py in a clone would run as the user who checks the clone.
    _ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] == os.getcwd() != _ours:
        del sys.path[0]
    sys.exit(main())
