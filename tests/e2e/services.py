"""Services for test stacks: one small image, and a shell program with the behaviour that the test needs."""

from __future__ import annotations

from typing import Any

IMAGE = "reconciler-test/actor"
VOLUME_IMAGE = "reconciler-test/store"
FOREVER = "while :; do sleep 1 & wait $!; done"
SERVE = (
    "$SIG{TERM} = sub { exit 0 }; my $s = IO::Socket::INET->new(Listen => 5, LocalPort => 8080, ReuseAddr => 1); "
    'while (1) { my $c = $s->accept or next; print $c "$ENV{SAYS}\\n"; close $c }'
)


def service(program: str | None = None, **more: Any) -> dict[str, Any]:
    """A service that runs `program` in a shell, or just keeps running. It stops at once when asked."""
    lines = "trap 'exit 0' TERM\n" + (FOREVER if program is None else program)
    written = {"image": IMAGE, "command": ["sh", "-c", escaped(lines)], "restart": "always", "mem_limit": "32m"}
    return {key: value for key, value in {**written, **more}.items() if value is not None}


def escaped(program: str) -> str:
    """The program with each `$` doubled, because a single `$` begins a variable in Compose files."""
    return program.replace("$", "$$")


def living(first: str, **more: Any) -> dict[str, Any]:
    """A service that runs `first` and then keeps running."""
    return service(f"{first}\n{FOREVER}", **more)


def health(test: str = "test -e /tmp/healthy", **more: Any) -> dict[str, Any]:
    """A health check that runs four times a second. Failures count after the first success, or after 60 s."""
    return {
        "test": ["CMD-SHELL", test], "interval": "250ms", "timeout": "5s", "retries": 2,
        "start_period": "60s", "start_interval": "250ms", **more,
    }  # fmt: skip


def healthy(first: str = "touch /tmp/healthy", **more: Any) -> dict[str, Any]:
    """Healthy as soon as `first` has made /tmp/healthy."""
    return living(first, **{"healthcheck": health(), **more})


def stated(version: str, **more: Any) -> dict[str, Any]:
    """A service that keeps running, with a value that can change."""
    return service(environment={"VERSION": version}, **more)


def one_shot(program: str = "exit 0", **more: Any) -> dict[str, Any]:
    return service(program, **{"restart": "no", **more})


def server(says: str, **more: Any) -> dict[str, Any]:
    """A service that answers every connection to port 8080 with the line `says`."""
    command = ["perl", "-MIO::Socket::INET", "-e", escaped(SERVE)]
    return service(**{"command": command, "environment": {"SAYS": says}, **more})


def ask(name: str, port: int = 8080) -> str:
    """A shell program that prints the answer of the server with that name or address."""
    return f"bash -c 'exec 3<>/dev/tcp/{name}/{port} && cat <&3'"


BROKEN = one_shot("echo the broken one >&2; exit 7", restart="no", healthcheck=health())
"""A service that must keep running but exits at once: its commit fails without delay."""
