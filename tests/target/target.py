"""A separate machine: a container with systemd, sshd and an engine, built from Debian's packages.

It has its own control group namespace and mounts none of the host's groups. Otherwise, on a host with cgroup v1,
systemd would create folders there that falsify the statistics of the host's engine.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import BASE, ROOT, one_at_a_time
from tests.e2e.host import eventually

IMAGE = "reconciler-test/target"
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,ca-certificates,python3,python3-venv,git,iproute2,"
    "procps,util-linux,iptables"
)
ENGINE = "docker.io docker-cli docker-compose"
BARE = "reconciler-test/bare"
"""Image of a machine as its vendor delivers it: systemd, sshd, sudo; neither Python nor git nor an engine."""
BARE_NEXT = "reconciler-test/bare-trixie"
"""The same of Debian 13."""
LEAST = "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,ca-certificates,iproute2,procps,util-linux"
SUITE, NEXT = "bookworm", "trixie"
"""systemd 252 of the first still takes cgroup v1; the engine of the first is too old."""

LEGACY = ["/sbin/init", "systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
"""systemd 257 of the second takes cgroup v1 if its command line says so. (In a container it reads its own command line
in place of the kernel's.)"""

PINS = (
    "Package: *\nPin: release n=trixie\nPin-Priority: 100\n\n"
    "Package: docker.io docker-cli docker-compose docker-buildx containerd runc tini\n"
    "Pin: release n=trixie\nPin-Priority: 600\n"
)


class Target:
    """One container. `run`: runs a shell script in it as root and returns its output."""

    def __init__(self, client: docker.APIClient, image: str = IMAGE) -> None:
        self._client, self._image, self.name = client, image, f"reconciler-target-{uuid.uuid4().hex[:8]}"
        self._volume = f"{self.name}-docker"

    def start(self) -> None:
        config = self._client.create_host_config(
            privileged=True, tmpfs={"/run": "", "/run/lock": "", "/tmp": "exec"},
            binds=[f"{self._volume}:/var/lib/docker"],
        )  # fmt: skip
        config["CgroupnsMode"] = "private"
        self._client.create_network(self.name)  # its own network, so that its changes affect no other container
        config["NetworkMode"] = self.name
        made = self._client.create_container(
            self._image, host_config=config, name=self.name, hostname="target",
            command=LEGACY if self._image == BARE_NEXT and _old_groups() else None,
        )  # fmt: skip
        self._client.start(made["Id"])
        self.boots()

    def boots(self) -> None:
        """Wait until systemd and the engine, if there is one, are up."""
        eventually(lambda: self.answers("systemctl is-system-running | grep -E 'running|degraded'"), seconds=60)
        if self._image == IMAGE:
            eventually(lambda: self.answers("docker info >/dev/null 2>&1"), seconds=60)

    @property
    def address(self) -> str:
        networks = self._client.inspect_container(self.name)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def reboot(self) -> None:
        self._client.restart(self.name, timeout=30)
        self.boots()

    def load(self, image: str) -> None:
        """Copy an image of the outer engine into the machine's own engine."""
        self.put("/var/tmp/image.tar", b"".join(self._client.get_image(image)))
        self.run("docker load -q -i /var/tmp/image.tar && rm /var/tmp/image.tar")

    def run(self, script: str, code: int = 0) -> str:
        done = self._exec(script)
        assert done.returncode == code, f"exit {done.returncode}, not {code}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def answers(self, script: str) -> bool:
        return self._exec(script).returncode == 0

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
        assert self._client.put_archive(self.name, "/", packed.getvalue())

    def get(self, path: str) -> bytes:
        stream, _ = self._client.get_archive(self.name, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            member = tar.extractfile(path.rpartition("/")[2])
            assert member is not None
            return member.read()

    def close(self) -> None:
        with contextlib.suppress(docker.errors.APIError):
            self._client.remove_container(self.name, force=True, v=True)
            self._client.remove_volume(self._volume, force=True)
            self._client.remove_network(self.name)

    def _exec(self, script: str) -> subprocess.CompletedProcess[str]:
        argv = ["docker", "exec", self.name, "bash", "-c", f"set -e; {script}"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=600)


def image(client: docker.APIClient, folder: Path) -> None:
    """Build the image if it is missing: two minutes and 300 MiB of packages."""
    pins = folder / "pins"
    pins.write_text(PINS)
    in_root = 'chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get -q -y'
    hooks = [
        f"cd \"$1\"/etc/apt; sed -n 's/ {SUITE} main$/ {NEXT} main/p' sources.list > sources.list.d/next.list",
        f'cp {pins} "$1"/etc/apt/preferences.d/engine',
        f"{in_root} update",
        f"{in_root} --no-install-recommends -t {NEXT} install {ENGINE}",
        'chroot "$1" systemctl enable ssh docker',
    ]
    _build(client, folder, IMAGE, PACKAGES, hooks)


def _old_groups() -> bool:
    """Whether this machine has cgroup v1."""
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def bare_image(client: docker.APIClient, folder: Path, name: str = BARE) -> None:
    """Build the image of a bare machine if it is missing: a minute and 200 MiB of packages.

    The image gets this machine's additional certificate authorities, and its apt's proxies and date checks.
    """
    settings = folder / "settings"
    shown = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout.splitlines()
    settings.write_text("".join(f"{line}\n" for line in shown if re.match(r"Acquire::(Check-|https?::Proxy)", line)))
    hooks = [
        f'cp {settings} "$1"/etc/apt/apt.conf.d/50host',
        'mkdir -p "$1"/usr/local/share/ca-certificates; '
        "for c in /usr/local/share/ca-certificates/*.crt; do "
        '[ ! -e "$c" ] || cp "$c" "$1"/usr/local/share/ca-certificates/; done',
        'chroot "$1" update-ca-certificates',
        'chroot "$1" systemctl enable ssh',
        'rm -rf "$1"/var/lib/apt/lists/*',
    ]
    _build(client, folder, name, LEAST, hooks, NEXT if name == BARE_NEXT else SUITE)


def _build(
    client: docker.APIClient, folder: Path, name: str, packages: str, hooks: list[str], suite: str = SUITE
) -> None:
    with one_at_a_time("target"):
        if client.images(name):
            return
        root = folder / "root"
        argv = ["mmdebstrap", "--variant=minbase", f"--include={packages}", "--skip=check/empty"]
        argv += [f"--customize-hook={hook}" for hook in hooks]
        with (folder / "log").open("wb") as log:
            done = subprocess.run([*argv, suite, str(root)], stdout=log, stderr=log)
        assert done.returncode == 0, (folder / "log").read_text()[-2000:]
        packed = subprocess.Popen(["tar", "-C", str(root), "-cf", "-", "."], stdout=subprocess.PIPE)
        command = ["docker", "import", "-c", 'CMD ["/sbin/init"]', "-c", "ENV container=docker", "-", name]
        subprocess.run(command, stdin=packed.stdout, check=True, capture_output=True)
        assert packed.wait() == 0
        subprocess.run(["rm", "-rf", str(root)], check=True)


def wheels(folder: Path) -> list[Path]:
    """Wheels of this program and of its libraries, including those of the monitor."""
    subprocess.run(
        ["pip", "wheel", "-q", "--wheel-dir", str(folder), f"{ROOT}[monitor]"], check=True, capture_output=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    return sorted(folder.glob("*.whl"))


@contextlib.contextmanager
def target(client: docker.APIClient, folder: Path) -> Iterator[Target]:
    """A machine with this program in /opt/reconciler/first, and with the base image."""
    if os.geteuid() != 0 or subprocess.run(["which", "mmdebstrap"], capture_output=True).returncode != 0:
        pytest.skip("a machine of its own needs root and mmdebstrap")
    image(client, folder)
    made = Target(client)
    try:
        made.start()
        for wheel in wheels(folder / "wheels"):
            made.put(f"/root/wheels/{wheel.name}", wheel.read_bytes())
        made.run(
            "python3 -m venv /opt/reconciler/first; cd /opt/reconciler; "
            "first/bin/pip install -q --no-index --find-links /root/wheels 'reconciler[monitor]'; ln -s first current; "
            "ln -s /opt/reconciler/current/bin/reconciler /usr/local/bin/reconciler"
        )
        made.load(BASE)
        yield made
    finally:
        made.close()


def seconds(what: str, begun: float) -> None:
    """Print the seconds since `begun`, for published figures."""
    print(f"{what}: {time.monotonic() - begun:.1f} s")
