"""The start of the program, by `reconciler` or `python -m reconciler`."""

from __future__ import annotations

import gc
import os
import sys

from reconciler import __version__

RARELY = 50_000
"""Objects after which Python collects garbage. Imports make many objects that stay: with the usual 700, a short verb
spends a fifth of its time on collections."""


def main() -> int:
    """The whole program; returns the process's exit code."""
    if sys.argv[1:] == ["--version"]:  # scripts and hooks ask this often; the code below takes three times as long
        print(f"reconciler {__version__}")
        return 0
    import signal  # imported here, when the working folder is no longer in the path

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `cli` listens; else Ctrl-C prints a traceback
    gc.set_threshold(RARELY)
    from reconciler import cli

    return cli.main()


if __name__ == "__main__":
    # Python puts the working folder first in its path, so a yaml.py in a clone would run as the user who checks it.
    _ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] == os.getcwd() != _ours:
        del sys.path[0]
    sys.exit(main())
