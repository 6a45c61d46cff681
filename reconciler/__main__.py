"""Where the program starts. `python -m reconciler` is the same as `reconciler`."""

from __future__ import annotations

import os
import sys

from reconciler import __version__


def main() -> int:
    """The whole program; returns the process's exit code."""
    if sys.argv[1:] == ["--version"]:  # asked often, by scripts and hooks: all that follows takes three times as long
        print(f"reconciler {__version__}")
        return 0
    from reconciler import cli

    return cli.main()


if __name__ == "__main__":
    # Python puts the working folder first: a yaml.py in a clone would run as the user who checks the clone.
    _ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] == os.getcwd() != _ours:
        del sys.path[0]
    sys.exit(main())
