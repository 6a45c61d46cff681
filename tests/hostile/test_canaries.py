"""Canary secrets in every place that a commit or the host has for them: no output and no stored file repeats one.

The tests with an engine are in `tests/e2e/test_bounds.py`.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from loguru import logger

from reconciler.cli import main
from reconciler.decide.redact import Redactor
from reconciler.parser import parse
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring import assembly
from tests.conftest import missing
from tests.hostile.canaries import AGENT, PLAIN, leaks
from tests.repository import Repository

URL = {"password": "Lx4t9Vd2Hq7k", "token": "Pw6n3Jc8Zb5rTf1y"}
"""In source.url."""

FORMS = ("text", "json")


@dataclass
class Operator:
    """A host without an engine, and the command line in this process. `programs`: the started programs, and their
    input."""

    folder: Path
    compose: Path
    capture: pytest.CaptureFixture[bytes]
    environment: pytest.MonkeyPatch
    told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repository = Repository(self.folder / "home.git")
        self.secrets, self.state = self.folder / "secrets", self.folder / "state"
        self.config, self.programs = self.folder / "reconciler.yaml", self.folder / "programs"
        (self.secrets / "shop").mkdir(mode=0o700, parents=True)
        self.put("shop.env", f"LINE={PLAIN['LINE']}\n")
        for name in set(PLAIN) - {"LINE"}:
            self.put(f"shop/{name}", PLAIN[name])
        for name, value in AGENT.items():
            self.environment.setenv(name, value)
        self.environment.setenv("RECONCILER_LOG_LEVEL", "TRACE")
        self.configure(str(self.repository.folder))

    def put(self, path: str, text: str) -> None:
        (self.secrets / path).write_text(text)
        (self.secrets / path).chmod(0o600)

    def configure(self, url: str) -> None:
        config = {
            "host": "mini", "source": {"url": url}, "state": str(self.state), "secrets_dir": str(self.secrets),
            "compose": str(self.compose), "engine": f"unix://{self.folder}/no.sock",
        }  # fmt: skip
        self.config.write_text(json.dumps(config))

    def files(self, compose: str) -> dict[str, str]:
        document = {
            "apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "mini"},
            "spec": {"stacks": [{"name": "shop", "files": ["compose.yaml"]}]},
        }  # fmt: skip
        return {"desired-state/mini.yaml": json.dumps(document), "compose.yaml": compose}

    def push(self, compose: str, **files: str) -> str:
        return self.repository.push({**self.files(compose), **files})

    def say(self, *arguments: str, about: str = "", forms: Sequence[str] = FORMS) -> int:
        """Ask for text and for JSON; both outputs are kept."""
        code = 0
        for form in forms:
            command = ["--config", str(self.config), "--output", form, *arguments]
            code = main(command)
            said = self.capture.readouterr()
            self.told[f"{about} {' '.join(arguments)} as {form}"] = (said.out + said.err).decode()
            assert said.out or form == "text"
        return code

    def validate(self, sha: str) -> int:
        return self.say("validate", "--commit", sha, "--git-dir", str(self.repository.folder))

    def look_at(self, compose: str, about: str, forms: Sequence[str] = FORMS) -> int:
        """Output of `validate DIR` for a working folder, which takes less time than a commit."""
        for path, text in self.files(compose).items():
            (self.folder / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "tree" / path).write_text(text)
        return self.say("validate", str(self.folder / "tree"), about=about, forms=forms)

    def watch_programs(self) -> None:
        """Let git and Compose be started through scripts that record their input."""
        for name, program in (("git", shutil.which("git")), ("compose", str(self.compose))):
            script = self.folder / "bin" / name
            script.parent.mkdir(exist_ok=True)
            note = f'{{ printf "argument %s\\n" "$@"; env; }} >>{self.programs}'
            script.write_text(f'#!/bin/sh\n{note}\nexec {program} "$@"\n')
            script.chmod(0o755)
        self.compose = self.folder / "bin" / "compose"
        self.environment.setenv("PATH", str(self.folder / "bin"), prepend=":")
        self.configure(str(self.repository.folder))

    def everything(self) -> dict[str, str]:
        """All outputs, and names and contents of the state folder."""
        kept = {
            str(path): path.read_bytes().decode(errors="replace") for path in self.state.rglob("*") if path.is_file()
        }
        return {**self.told, **kept, "names": "\n".join(map(str, self.state.rglob("*")))}


@pytest.fixture
def operator(
    tmp_path: Path, newest_compose: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    yield Operator(tmp_path, newest_compose, capfdbinary, monkeypatch)
    logger.remove()


SERVICE = {
    "image": "image: S", "tag": "image: x:S", "port": 'ports: ["S"]', "published": 'ports: ["S:80"]',
    "memory": "mem_limit: S", "cpus": "cpus: S", "privileged": "privileged: S", "replicas": "scale: S",
    "container_name": "container_name: S", "relative": 'volumes: ["./S:/in"]', "volume": 'volumes: ["S:/in"]',
    "bind": 'volumes: ["/etc/S:/in"]', "target": 'volumes: ["./x:S"]', "env_file": "env_file: S",
    "env_file above": "env_file: ../S", "extends": "extends: {file: S, service: a}", "user": 'user: "S"',
    "network": "networks: [S]", "mode": "network_mode: S", "container's network": "network_mode: container:S",
    "pid": "pid: S", "capability": "cap_add: [S]", "device": 'devices: ["/dev/S:/dev/x"]',
    "security": 'security_opt: ["S"]', "runtime": "runtime: S", "restart": "restart: S",
    "group": "group_add: [S]", "grace": "stop_grace_period: S", "sysctls": "sysctls: [S=1]",
    "interval": 'healthcheck: {test: ["CMD", "S"], interval: S}', "cgroup": "cgroup_parent: S",
    "build": "build: S", "build from git": 'build: "https://S@example.org/x.git"', "platform": "platform: S",
    "build of a remote": "build: https://example.org/S.git", "Dockerfile": "build: {context: ., dockerfile: S}",
    "front end": 'build: {context: ., dockerfile_inline: "# syntax=S\\nFROM x"}', "logging": "logging: {driver: S}",
    "build network": "build: {context: ., network: S}", "cache": 'build: {context: ., cache_from: ["type=S"]}',
    "needed": "command: ${GONE:?S}", "default": "command: ${GONE:-S", "our label": "labels: {dev.reconciler.host: S}",
    "labels": "labels: [S]", "extra host": "extra_hosts: [S]", "dns": "dns: [S]", "address": "mac_address: S",
    "limit": "ulimits: {nofile: S}", "depends": "depends_on: [S]", "pull": "pull_policy: S", "init": "init: S",
    "key": "environment: [S]", "secret": "secrets: [S]", "config": "configs: [{source: S, target: S}]",
    "long": f"command: [{'y' * 560}, S]\n    mem_limit: {'y' * 540}S",
}  # fmt: skip
TOP = {
    "volume driver": "volumes: {v: {driver: S}}", "bind by volume": "volumes: {v: {driver_opts: {o: bind, device: S}}}",
    "external": "volumes: {v: {external: true, name: S}}", "volume's name": "volumes: {v: {name: S}}",
    "subnet": "networks: {default: {ipam: {config: [{subnet: S}]}}}", "net driver": "networks: {default: {driver: S}}",
    "config file": "configs: {v: {file: S}}", "secret file": "secrets: {v: {file: ../S}}", "name": "name: S",
    "include": "include: [S]", "include from elsewhere": "include: ['https://S@example.org/x.git']",
    "two includes": "include: [{path: S, env_file: S}]", "version": "version: [S]",
}  # fmt: skip
"""Places where a value is invalid: S stands for a secret."""


FILED = """services:
  web:
    image: x:1
    LINE
"""
USED = """services: {web: {image: 'x:1', volumes: ['v:/in']}}
LINE
"""
CUT = ("env_file", "extends", "include", "long")
"""Places whose message has no room for the whole of a long value."""
AWKWARD = ("LONG", "QUOTED", "PARTS", "LINE")


@pytest.mark.parametrize("only", [None, *(pytest.param(name, marks=pytest.mark.soak) for name in AWKWARD)])
def test_a_value_that_is_wrong_is_not_repeated(operator: Operator, only: str | None) -> None:
    found = dict.fromkeys((*SERVICE, *TOP), 0)
    for number, place in enumerate(found):
        name = only or ("LONG" if place in CUT else AWKWARD[number % 4])
        line = (SERVICE.get(place) or TOP[place]).replace("S", f"${{{name}}}")
        found[place] = operator.look_at(
            (FILED if place in SERVICE else USED).replace("LINE", line), place, FORMS[number % 8 > 0 :]
        )
    assert sum(code == 1 for code in found.values()) >= 50, found
    assert leaks(operator.everything(), PLAIN) == []


EVERYWHERE = """
services:
  web:
    image: x:1
    build: {context: ., args: {A: "$COMMITTED"}, secrets: [given]}
    environment: {A: "$LINE", B: "$QUOTED", C: "$LONG", D: "$LINES", E: "before $OWN after", F: "$NUMBER"}
    labels: {a: "$LINE", b: "$QUOTED", c: "$LONG"}
    command: [sh, -c, "echo $LINE $QUOTED $LONG"]
    entrypoint: ["$OWN"]
    healthcheck: {test: ["CMD", echo, "$LINE", "$LONG"]}
    hostname: "$LINE"
    extra_hosts: ["$LINE:192.0.2.1"]
    working_dir: "/$PARTS"
    logging: {driver: json-file, options: {tag: "$LINE"}}
    configs: [whole, ours]
    secrets: [file, given]
  idle:
    image: x:1
    environment: [AGENT_TOKEN, DOCKER_PASSWORD, COMMITTED]
configs: {whole: {content: "a $LINE b $QUOTED c $LONG"}, ours: {file: ./conf}}
secrets: {file: {file: ./conf}, given: {environment: OWN}}
x-note: "$LINES"
"""
COMMITTED = {"COMMITTED": "Gt8p2Mw5Xk9c", "conf": "Bq7r4Ds6Nv3h"}
"""In the repository, in plain text: a valid value is not repeated either."""

VERBS = (
    ["plan"], ["once"], ["status"], ["status", "--no-engine"], ["history"], ["doctor"],
    ["suspend", "--reason", f"{PLAIN['LONG']} is {PLAIN['LINE']}"], ["resume"], ["retry", "HEAD"], ["accept", "HEAD"],
)  # fmt: skip


def test_what_is_right_is_not_repeated_either(operator: Operator, newest_compose: Path) -> None:
    operator.watch_programs()
    files = {".env": f"COMMITTED={COMMITTED['COMMITTED']}\n", "conf": COMMITTED["conf"], "Dockerfile": "FROM x\n"}
    assert operator.validate(operator.push(EVERYWHERE, **files)) == 0
    for verb in VERBS:
        operator.say(*verb)
    assert leaks(operator.everything(), PLAIN | AGENT) == []
    assert leaks(operator.told, COMMITTED) == []
    assert leaks({"arguments and environments of programs": operator.programs.read_text()}, AGENT) == []
    arguments = [line for line in operator.programs.read_text().splitlines() if line.startswith("argument ")]
    assert len(arguments) > 50
    assert leaks({"arguments of programs": "\n".join(arguments)}, PLAIN | AGENT) == []


@pytest.mark.parametrize("name", AGENT)
def test_the_agent_s_own_environment_is_not_there_for_commits(operator: Operator, name: str) -> None:
    assert operator.look_at(FILED.replace("LINE", f"command: ${{{name}}}"), "unset") == 1
    for line in (f'image: "x:${{{name}:-1}}"', f"environment: [{name}]", f'command: "${{{name}-none}}"'):
        assert operator.look_at(FILED.replace("LINE", line.replace("image", "hostname")), line) == 0
    assert operator.look_at(USED.replace("LINE", f"secrets: {{s: {{environment: {name}}}}}"), "secret") in (0, 1)
    assert leaks(operator.everything(), AGENT) == []


class Echo(BaseHTTPRequestHandler):
    """A forge that repeats its input, unchanged and decoded."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        body = f"no access with {given} which is {base64.b64decode(given.partition('Basic ')[2]).decode()}\n".encode()
        self.send_response(403)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not here."""


@contextmanager
def forge(folder: Path) -> Iterator[tuple[int, Path]]:
    """Port and certificate of a server that speaks https."""
    if shutil.which("openssl") is None:
        missing("openssl is not here")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
        yield server.server_port, certificate
        server.shutdown()


def test_credentials_of_the_address_are_not_repeated(operator: Operator) -> None:
    operator.watch_programs()
    with forge(operator.folder) as (port, certificate):
        operator.environment.setenv("GIT_SSL_CAINFO", str(certificate))
        for user in (f"person:{URL['password']}", URL["token"], f"x:{URL['password']}%2F"):
            for place in (port, 9) if "person" in user else (port,):
                operator.configure(f"https://{user}@127.0.0.1:{place}/home.git")
                for verb in (["once"], ["doctor"], ["status", "--no-engine"]):
                    assert operator.say(*verb, about=f"{user} {place}") != 0
        assert "no access with" in json.dumps(operator.told), "the forge's words are shown, masked"
    assert leaks(operator.everything(), URL) == []
    arguments = [line for line in operator.programs.read_text().splitlines() if line.startswith("argument ")]
    assert leaks({"arguments of programs": "\n".join(arguments)}, URL) == []


@pytest.mark.parametrize(
    "url",
    ["http://x:S@127.0.0.1/a", "https://x:S@/a", "https://x:S@127.0.0.1:port/a", "ssh://x:S@host/a", "https://x:S@[::1/a",
     "ext::S", "https://x:S/@h o st/a", "https://S", "-oS"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_not_repeated(operator: Operator, url: str) -> None:
    written = url.replace("S", URL["password"])
    operator.configure(written)
    operator.say("once")
    operator.config.write_text(f"host: mini\nsource: {{url: [{json.dumps(written)}]}}\nstate: /x\n")
    assert operator.say("once") == 2
    operator.config.write_text(f'host: mini\nsource: {{url: "{written}\nstate: /x\n')
    assert operator.say("once") == 2
    operator.configure(str(operator.repository.folder))
    operator.environment.setenv("RECONCILER_SOURCE_URL", written)
    operator.say("once")
    assert url == "https://S" or leaks(operator.everything(), URL) == []


@pytest.mark.parametrize(
    "text", ["S", "A\nS here", "A='S", 'A="S', "A=${S", "A=${B:-S", "A=x${S!y}", "S W=x", "A=1\n\tS\n", "'S'=x"]
)
def test_a_file_of_secrets_that_cannot_be_read_is_not_repeated(operator: Operator, text: str) -> None:
    operator.put("shop.env", text.replace("S", PLAIN["LINE"]))
    for verb in (["once"], ["doctor"], ["status"]):
        operator.say(*verb)
    operator.look_at(FILED.replace("LINE", "hostname: a"), "good")
    assert leaks(operator.everything(), {"LINE": PLAIN["LINE"]}) == []


def test_a_secret_that_changes_is_masked_from_then_on(operator: Operator) -> None:
    redactor = Redactor()
    source = SourceSettings(str(operator.repository.folder))
    settings = Settings(
        "mini", source, str(operator.state), secrets_dir=str(operator.secrets), compose=str(operator.compose)
    )
    application = assembly.build(settings, stop=threading.Event(), redactor=redactor)
    sha = operator.push(FILED.replace("LINE", "cap_add: [$OWN]"))
    typed = parse(["validate", "--commit", sha, "--git-dir", str(operator.repository.folder)])
    for secret in ("Yd5k-Tz2q-Hm8p", "Rn4w-Gx9s-Kc3v"):
        operator.put("shop/OWN", secret)
        document = application.validate(typed)[1]
        assert secret in json.dumps(document)
        assert leaks({"document": redactor.clean(json.dumps(document))}, {"secret": secret}) == []
