"""The parts of scripts/demo that a shell is bad at: `demo_parts.py PART ARGUMENT…`."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import urllib.request


def start(folder: str, *command: str) -> None:
    """Start the agent in a session of its own: a Ctrl-C in the demo does not end it. `agent.pid` names its process."""
    with open(f"{folder}/agent.log", "ab") as log:
        agent = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    with open(f"{folder}/agent.pid.new", "w") as file:
        file.write(f"{agent.pid}\n")
    os.replace(f"{folder}/agent.pid.new", f"{folder}/agent.pid")


def password() -> None:
    """Print 32 random hexadecimal digits."""
    print(secrets.token_hex(16))


def free(port: str) -> None:
    """End with 1 where another program listens on this port of 127.0.0.1."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", int(port)))
        except OSError:
            sys.exit(1)


def outcome(revision: str) -> None:
    """Print `good` or `bad` for a commit, from the History document on stdin; nothing while there is no verdict."""
    for one in json.load(sys.stdin).get("attempts") or []:
        if one["revision"] == revision and one["final"]:
            print("good" if one["outcome"] == "Succeeded" else "bad")
            return


def page(address: str) -> None:
    """Print a page as words, one line for each of its lines."""
    with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - of scripts/demo, http
        text = answer.read().decode()
    body = re.sub(r"<(style|title)>.*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)
    print("\n".join("| " + line.strip() for line in body.splitlines() if line.strip()))


if __name__ == "__main__":
    {"start": start, "password": password, "free": free, "outcome": outcome, "page": page}[sys.argv[1]](*sys.argv[2:])
