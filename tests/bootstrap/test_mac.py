"""The plan for a Mac: from recorded answers of its programs to files and commands, compared with stored texts.

None of this has run on a Mac. The script of facts runs here, with programs that print what a Mac's programs print.
"""

from __future__ import annotations

import hashlib
import os
import plistlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reconciler.bootstrap import mac, mac_facts
from reconciler.bootstrap.driver import Driver
from reconciler.bootstrap.mac_colima import Machine, Mount, Unreadable, merge
from reconciler.bootstrap.mac_facts import MacFacts
from reconciler.bootstrap.machine import Machine as Remote
from reconciler.bootstrap.model import Bundle, Change, Plan, Wanted, parse
from reconciler.bootstrap.places import Have
from reconciler.decide.service.colima import colima_list
from reconciler.process import Completed
from tests.golden import CASES, matches

GIB = 2**30
WANTED = Wanted("mini", "me", "/Users/me")
PLACES = mac.places(WANTED)
BUNDLE = Bundle("reconciler-0.3.0-py3-none-any.whl", "0.3.0-12345678", b"wheels", True, 30)
PROGRAMS = {
    "sw_vers": "echo 15.6.1",
    "uname": "echo arm64",
    "sysctl": "case $2 in hw.memsize) echo 17179869184 ;; hw.ncpu) echo 10 ;; esac",
    "fdesetup": 'echo "FileVault is On."',
    "defaults": "echo 'The domain/default pair of (…) does not exist' >&2; exit 1",
    "pmset": "cat <<'END'\nAC Power:\n Sleep On Power Button 1\n autorestart          0\n powernap             1\n"
    " standby              0\n networkoversleep     0\n disksleep            10\n"
    " sleep                1 (sleep prevented by powerd)\n ttyskeepawake        1\n displaysleep         10\n"
    " tcpkeepalive         1\n womp                 1\nEND\n",
    "launchctl": "echo 'Could not find service' >&2; exit 113",
    "curl": "exit 7",
}
"""What the programs of a new Mac mini print."""
AWAKE = "cat <<'END'\nAC Power:\n" + "".join(f" {name} {value}\n" for name, value in mac.POWER.items()) + "END\n"


THERE = Have(
    versions=frozenset({BUNDLE.folder}), current=BUNDLE.folder, secrets=True, unit=True, running=True, enabled=True,
    config={"host": "mini", "source": {"url": "/Users/me/git/home.git"}}, repository=True, commit=True, safe=True,
    command=True,
)  # fmt: skip


def look(folder: Path, **programs: str) -> MacFacts:
    """The facts that the script finds, with Homebrew and a home in `folder`."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, text in {**PROGRAMS, **programs}.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_folder / name).chmod(0o755)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    places = replace(
        PLACES, home=str(home), state=f"{home}/state", secrets=f"{home}/secrets", repository=f"{home}/git/home.git",
        versions=f"{folder}/versions", config=f"{folder}/reconciler.yaml",
    )  # fmt: skip
    text = mac_facts.script(places)
    assert "brew=/opt/homebrew\n" in text
    text = text.replace("brew=/opt/homebrew\n", f"brew={folder}/homebrew\n")
    environ = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, env=environ, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return mac.read(parse(done.stdout))


def brew(folder: Path, *formulae: str) -> None:
    for formula in formulae:
        (folder / "homebrew" / "opt" / formula).mkdir(parents=True, exist_ok=True)
    program = folder / "homebrew" / "bin" / "brew"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def at_home(facts: MacFacts) -> MacFacts:
    """Facts with a Mac's paths and account in the place of those of the machine that runs the test."""
    return replace(facts, colima="/Users/me/.colima", brew_owner="me" if facts.brew_owner else "")


class RecordedMac:
    """A Mac's answers to what pyinfra's operations ask. `files`: path → owner, group, mode as `stat` of macOS has it,
    and bytes (of a link: where it leads to)."""

    def __init__(self, files: Mapping[str, tuple[str, str, str, bytes]]) -> None:
        self._files = files

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Completed:
        words = shlex.split(argv[-1])
        asked = words[-1] if words[:2] == ["sh", "-c"] else argv[-1]
        found = [path for path in self._files if re.search(rf"{re.escape(path)}(?=[ ;)]|$)", asked)]
        answer = self._answer(asked, found[0]) if found else ""
        return Completed(0, answer.encode(), b"")

    def _answer(self, asked: str, path: str) -> str:
        user, group, mode, data = self._files[path]
        if "stat -f" in asked:
            end = f" -> {data.decode()}" if mode.startswith("l") else ""
            times = "atime=1764400000 mtime=1764400000 ctime=1764400000"
            return f"user={user} group={group} mode={mode} {times} size={len(data)} {path}{end}\n"
        assert "sha1" in asked, asked
        return f"{hashlib.sha1(data).hexdigest()}  {path}\n"


def driver(files: Mapping[str, tuple[str, str, str, bytes]]) -> Driver:
    return Driver(Remote(RecordedMac(files), "me", 501), "mini")


def shown(plan: Plan) -> str:
    nothing = driver({})
    lines = [f"note: {note}" for note in plan.notes]
    lines += [f"refused: {item.name}: {item.message}\n  {item.hint}" for item in plan.refusals]
    for change in plan.changes if not plan.refusals else ():
        lines.append(
            f"{'' if change.needed else '(done) '}{change.name} as {change.account or 'me'}: {change.sentence}"
        )
        if change.needed:
            lines += _arguments(change)
        if change.needed and change.operation != "server.shell":
            lines += [f"    $ {command}" for command in nothing.would(change).commands]
    return "\n".join(lines) + "\n"


def _arguments(change: Change) -> list[str]:
    lines = [f"    {change.operation}"]
    for key, value in change.arguments.items():
        if key == "data" and change.name != "colima-boot":
            lines += ["    data:", *(f"    | {line}" for line in value.decode().splitlines())]
        elif key == "data":
            lines.append("    data: reconciler/bootstrap/colima-boot.sh")
        else:
            lines.append(f"    {key}: {value}")
    return lines


def test_a_new_mac_gets_everything(tmp_path: Path) -> None:
    brew(tmp_path)
    facts = at_home(look(tmp_path))
    assert (facts.memory, facts.cpus, facts.macos, facts.filevault) == (16 * GIB, 10, "15.6.1", True)
    assert facts.power["sleep"] == (1,)
    plan = mac.plan(facts, WANTED, BUNDLE)
    names = [item.name for item in plan.changes]
    own = names.index("versions-folder")  # from here on the changes are the agent's, which all systems share
    matches(CASES / "bootstrap" / "mac-new.txt", shown(replace(plan, changes=plan.changes[:own])))
    program, config = (next(item for item in plan.changes if item.name == name) for name in ("program", "config"))
    assert "/opt/homebrew/opt/python@3.13/bin/python3.13 -m venv" in str(program.arguments)
    assert b"state: /Users/me/.local/state/reconciler\nsecrets_dir: /Users/me/.config/" in config.arguments["data"]


def test_a_finished_mac_is_left_alone(tmp_path: Path) -> None:
    brew(tmp_path, *mac.FORMULAE, "python@3.14", "openssl@3")
    first = mac.plan(at_home(look(tmp_path)), WANTED, BUNDLE)
    (made,) = [item.arguments["data"] for item in first.changes if item.name == "colima-yaml"]
    home = tmp_path / "home"
    for folder in (".colima/default", ".colima/_lima/colima", ".docker/cli-plugins", "state", "secrets"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / ".colima/default/colima.yaml").write_bytes(made)
    (home / ".colima/_lima/colima/lima.yaml").touch()
    (home / ".docker/config.json").write_text('{\n\t"credsStore": "osxkeychain"\n}\n')
    for plugin in mac.PLUGINS:
        (home / ".docker/cli-plugins" / plugin).touch()
    again = {"pmset": AWAKE, "launchctl": "echo state = running", "curl": "printf OK", "defaults": "echo 0"}
    facts = at_home(look(tmp_path, fdesetup='echo "FileVault is Off."', **again))
    plan = mac.plan(replace(facts, have=THERE), WANTED, BUNDLE)
    left = [item for item in plan.changes if item.needed]
    assert [item.name for item in left] == ["colima-boot", "colima-daemon"]  # pyinfra itself compares files
    written = {item.arguments["dest"]: item.arguments["data"] for item in left}
    modes = {"755": "-rwxr-xr-x", "644": "-rw-r--r--"}
    files = {
        item.arguments["dest"]: ("root", "wheel", modes[item.arguments["mode"]], item.arguments["data"])
        for item in left
    }
    files |= {path.rpartition("/")[0]: ("root", "wheel", "drwxr-xr-x", b"") for path in files}
    assert [driver(files).would(item).commands for item in left] == [(), ()]
    path = "/opt/reconciler/colima-boot.sh"
    changed = driver({**files, path: ("me", "wheel", "-rwxr-xr-x", written[path] + b"#")}).would(left[0]).commands
    assert changed[0] == f"# write {path} ({len(written[path])} bytes)"
    assert not any("restart" in note and "new settings" in note for note in plan.notes)
    assert not any("FileVault" in note for note in plan.notes)
    assert any("cannot be read by programs that run without a login" in note for note in plan.notes)


def test_a_mac_that_does_not_fit_is_refused_with_what_a_person_must_do(tmp_path: Path) -> None:
    facts = at_home(look(tmp_path, sw_vers="echo 12.7", uname="echo x86_64"))
    (tmp_path / "home/.colima/default").mkdir(parents=True)
    (tmp_path / "home/.colima/default/colima.yaml").write_text("cpu: [2\n")
    broken = replace(look(tmp_path), brew_owner="other", brew_services=("/Library/LaunchDaemons/x.plist",))
    small = mac.plan(broken, replace(WANTED, engine_memory=15 * GIB), BUNDLE)
    text = shown(mac.plan(facts, WANTED, BUNDLE)) + "\n" + shown(small)
    matches(CASES / "bootstrap" / "mac-refused.txt", text.replace(str(tmp_path / "home"), "/Users/me"))


TEMPLATE = """\
# Number of CPUs
cpu: 2
# my own words
memory: 8
disk: 60

docker: {}
vmType: qemu # the default
mountType: sshfs
runtime: docker
arch: host
network:
  memory: 2
mounts: []
"""
WANT = Machine(8, 12, (Mount("/Users/me/state", True), Mount("/Users/me/secrets", False)))


def merged(text: str | None, created: bool = False) -> tuple[dict[str, object], tuple[str, ...], str]:
    made = merge(text, WANT, "/Users/me", created=created)
    return yaml.safe_load(made.text), made.differences, made.text


def test_settings_of_somebody_else_stay_and_are_reported() -> None:
    found, differences, text = merged(TEMPLATE)
    assert (found["cpu"], found["memory"], found["disk"]) == (8, 8, 60)
    assert (found["vmType"], found["mountType"]) == ("vz", "virtiofs")
    assert found["docker"] == {"log-driver": "local", "log-opts": {"max-size": "10m", "max-file": "3"}}
    assert found["mounts"] == []
    assert found["network"] == {"memory": 2}
    assert "# my own words\n" in text
    assert differences == ("memory is 8 in colima.yaml, not 12: change it there, then `colima restart`",)
    assert merge(text, WANT, "/Users/me", created=True).text == text


def test_an_existing_virtual_machine_keeps_its_type() -> None:
    found, differences, _ = merged(TEMPLATE, created=True)
    assert found["vmType"] == "qemu"
    assert "vmType is qemu in colima.yaml, not vz: only a new virtual machine takes it" in differences


def test_a_new_colima_yaml_has_all_needed_settings() -> None:
    found, differences, _ = merged(None)
    assert (found["runtime"], found["vmType"], found["memory"]) == ("docker", "vz", 12)
    assert found["mounts"] == [
        {"location": "/Users/me/state", "writable": True}, {"location": "/Users/me/secrets", "writable": False},
    ]  # fmt: skip
    assert differences == ()
    assert merged("")[0] == found


@pytest.mark.parametrize(
    ("mounts", "told"),
    [
        ("[{location: /Users/me/state, writable: true}, {location: ~/secrets}]", []),
        ("[{location: '~', writable: true}]", []),
        ("[{location: /Users/me/state, writable: false}, {location: ~/secrets}]", ["state"]),
        ("[{location: /Users/me/stat, writable: true}]", ["state", "secrets"]),
        ("[{location: '~', mountPoint: /home, writable: true}]", ["state", "secrets"]),
        ("null", ["state", "secrets"]),
        ("[~]", ["state", "secrets"]),
    ],
)
def test_folders_that_containers_do_not_see_are_reported(mounts: str, told: list[str]) -> None:
    found, differences, _ = merged(f"mounts: {mounts}\n")
    assert found["mounts"] == yaml.safe_load(mounts)
    assert [name for name in ("state", "secrets") if any(f"/{name}: add" in item for item in differences)] == told


@pytest.mark.parametrize("docker", ["{insecure-registries: [x]}", "{log-driver: json-file}"])
def test_missing_log_rotation_is_reported(docker: str) -> None:
    found, differences, _ = merged(f"docker: {docker}\n")
    assert found["docker"] == yaml.safe_load(docker)
    assert any("log rotation" in item for item in differences)


@pytest.mark.parametrize("text", ["{cpu: 2, memory: 2}\n", '"cpu": 2\n', "cpu:\n  2\n", "cpu: &a 2\nmemory: *a\n"])
def test_a_colima_yaml_in_an_unusual_form_is_not_damaged(text: str) -> None:
    made = merge(text, WANT, "/Users/me", created=False)
    kept = yaml.safe_load(made.text)
    if made.text == text:
        assert any("unusual form" in item for item in made.differences)
    else:
        assert {key: kept[key] for key in ("cpu", "memory")} == {"cpu": 8, "memory": 12}


@pytest.mark.parametrize(("text", "told"), [("a: [1\n", "line 2"), ("- 1\n", "line 1"), ("\tcpu: 2\n", "line 1")])
def test_a_colima_yaml_that_cannot_be_read_is_an_error_with_its_line(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        merged(text)


def test_the_property_list_for_launchd_is_valid() -> None:
    read = plistlib.loads(colima_list(mac.SCRIPT, "me", "/Users/me", "/Users/me/.colima").data)
    assert read["ProgramArguments"] == ["/bin/sh", "/opt/reconciler/colima-boot.sh"]
    assert (read["UserName"], read["KeepAlive"], read["RunAtLoad"]) == ("me", True, True)
    assert read["EnvironmentVariables"]["COLIMA_HOME"] == "/Users/me/.colima"
    assert read["EnvironmentVariables"]["COLIMA_BOOT_LOG"] == read["StandardOutPath"]
    assert read["ExitTimeOut"] > 180


def test_shellcheck_finds_nothing_in_the_script_of_facts() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    text = mac.script(WANTED)
    done = subprocess.run(["shellcheck", "-s", "sh", "-"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
