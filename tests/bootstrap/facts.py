"""Facts of machines for tests of plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.bootstrap import linux, linux_facts
from reconciler.bootstrap.linux_facts import LinuxFacts
from reconciler.bootstrap.model import Bundle, Plan, Wanted, parse

GIB = 1 << 30

BARE_DEBIAN = f"""\
id=debian
release=12
codename=bookworm
pretty=Debian GNU/Linux 12 (bookworm)
systemd=yes
apt=yes
memory={16 << 20}
swap=0
overcommit=0
free={50 << 20}
mirror_main=http://deb.example.org/debian/
python=
engine=
compose=
containers=0
clock=no
virtual=none
unattended=
login_groups=me sudo
current=
config=
sudoers=
"""

BUNDLE = Bundle("reconciler-0.2.0-py3-none-any.whl", "0.2.0-0123abcd", b"tar", True, 17)
WANTED = Wanted("mini", "me", "/home/me")


def facts(text: str = BARE_DEBIAN, **more: Any) -> LinuxFacts:
    return replace(linux_facts.read(parse(text)), **more)


def plan(found: LinuxFacts | None = None, wanted: Wanted = WANTED, bundle: Bundle = BUNDLE) -> Plan:
    return linux.plan(found or facts(), wanted, bundle)


def names(made: Plan) -> list[str]:
    """Names of the needed changes."""
    return [change.name for change in made.changes if change.needed]
