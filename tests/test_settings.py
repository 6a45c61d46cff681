"""The agent config: where it is found, what wins, and that all mistakes are reported at once with their places."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from reconciler.agent_config import passed_over, searched, usual_place
from reconciler.errors import Usage
from reconciler.formats.forges import TOKEN, place_of
from reconciler.model.documents import BindGrant, Grant, Pin
from reconciler.settings import BuildSettings, ForgeSettings, Settings, SourceSettings, load_settings, stored_settings

LEAST = "host: mini\nsource: {url: /srv/git/home.git}\nstate: /var/lib/reconciler\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "reconciler.yaml"
    path.write_text(LEAST)
    return path


def refused(config: str | None, environ: dict[str, str], cwd: Path, **options: str) -> Usage:
    with pytest.raises(Usage) as caught:
        load_settings(config, environ, cwd=str(cwd), **options)
    assert caught.value.exit_code == 2
    return caught.value


def test_the_least_config_has_documented_defaults(config: Path) -> None:
    assert load_settings(str(config), {}) == Settings(
        host="mini",
        source=SourceSettings(
            "/srv/git/home.git", "main", "", "", interval=30, require_fast_forward=True, allowed_signers=None
        ),
        state="/var/lib/reconciler",
        path=str(config),
    )


def test_every_key_is_read(config: Path) -> None:
    config.write_text("""
host: mini
source:
  url: git@git.example.org:home.git
  branch: release/1
  path: machines/
  stack: shop
  interval: 1m30s
  require_fast_forward: false
  allowed_signers: ~/signers
  gpg_home: /etc/gpg
state: ~/state
secrets_dir: ~/secrets
engine: unix:///run/other.sock
max_stop_grace_period: 2m
compose: /opt/docker-compose
grants:
  - policy: privileged
    stack: radio
    service: tuner
    image: radio:1
    entrypoint: [/tune]
    command: []
    rest: 9f86d081884c7d659a2feaa0c55ad015
    reason: needs the stick
  - {policy: host-namespace, values: [ipc], reason: everywhere}
  - {bundle: vpn, stack: away, service: tunnel, reason: the way home}
binds:
  - {path: /srv/media, reason: films}
  - {path: /data, host: /Volumes/data, stack: web, service: fotos, read_only: false, reason: photos}
trust: owner
notes: {push: false}
report: {log_lines: 5}
build: {memory: 2GiB, time: 10m, network: none}
""")
    read = load_settings(str(config), {"HOME": "/home/op"})
    assert read == Settings(
        host="mini",
        source=SourceSettings(
            "git@git.example.org:home.git", "release/1", "machines", "shop", 90, False, "/home/op/signers", "/etc/gpg"
        ),
        state="/home/op/state",
        secrets_dir="/home/op/secrets",
        engine="unix:///run/other.sock",
        compose="/opt/docker-compose",
        grants=(
            Grant(
                "privileged",
                "radio",
                "tuner",
                "needs the stick",
                pin=Pin("radio:1", ("/tune",), (), "9f86d081884c7d659a2feaa0c55ad015"),
            ),
            Grant("host-namespace", "*", "*", "everywhere", ("ipc",)),
            Grant("capability", "away", "tunnel", "the way home", ("NET_ADMIN",), bundle="vpn"),
            Grant("devices", "away", "tunnel", "the way home", ("/dev/net/tun",), bundle="vpn"),
        ),
        binds=(
            BindGrant("/srv/media", "/srv/media", "films"),
            BindGrant("/data", "/Volumes/data", "photos", "web", "fotos", False),
            BindGrant("/dev/net/tun", "/dev/net/tun", "the way home", "away", "tunnel", False, None, "vpn"),
            BindGrant("/lib/modules", "/lib/modules", "the way home", "away", "tunnel", True, None, "vpn"),
            BindGrant("/usr/src", "/usr/src", "the way home", "away", "tunnel", True, None, "vpn"),
        ),
        trust="owner",
        notes_push=False,
        log_lines=5,
        longest_stop=120.0,
        build=BuildSettings(2 << 30, 600, "none"),
        path=str(config),
    )
    assert stored_settings(json.loads(json.dumps(asdict(read)))) == read


def test_the_config_is_looked_for_in_order(tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    places = {
        "option": tmp_path / "option.yaml",
        "variable": tmp_path / "variable.yaml",
        "home": home / ".config/reconciler/reconciler.yaml",
    }
    for name, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LEAST.replace("mini", name))
    environ = {"HOME": str(home), "RECONCILER_CONFIG": str(places["variable"])}

    def found(config: str | None, environ: dict[str, str]) -> str:
        return load_settings(config, environ, cwd=str(here)).host

    assert found("../option.yaml", environ) == "option"
    assert found(None, environ) == "variable"
    assert found(None, {"HOME": str(home)}) == "home"


def test_a_config_in_the_working_folder_is_passed_over_unless_it_was_named(tmp_path: Path) -> None:
    home = tmp_path / ".config/reconciler"
    here = tmp_path / "reconciler.yaml"
    here.write_text("compose: /evil\n")
    for environ in ({"HOME": str(tmp_path / "home")}, {"HOME": "."}, {"HOME": "relative"}, {}):
        assert str(here) not in searched(environ)
        assert passed_over(None, environ, str(tmp_path)) == str(here)
    assert passed_over("other.yaml", {}, str(tmp_path)) is None
    assert passed_over(None, {"RECONCILER_CONFIG": "/x"}, str(tmp_path)) is None
    home.mkdir(parents=True)
    (home / "reconciler.yaml").write_text(LEAST)
    assert passed_over(None, {"HOME": str(tmp_path)}, str(home)) is None, "that is where it is looked for"


def test_a_config_is_written_where_it_is_looked_for() -> None:
    environ = {"HOME": "/home/op"}
    assert usual_place(environ, 1000) == "/home/op/.config/reconciler/reconciler.yaml"
    assert usual_place(environ, 0) == usual_place({}, 1000) == "/etc/reconciler/reconciler.yaml"
    assert {usual_place(environ, uid) for uid in (0, 1000)} == set(searched(environ))


def test_the_environment_wins_over_the_file_and_the_option_over_both(config: Path, tmp_path: Path) -> None:
    environ = {
        "RECONCILER_HOST": "other",
        "RECONCILER_STATE": "/from/environment",
        "RECONCILER_SOURCE_URL": "https://git.example.org/x.git",
        "RECONCILER_SOURCE_INTERVAL": "5s",
        "RECONCILER_SOURCE_REQUIRE_FAST_FORWARD": "no",
        "RECONCILER_NOTES_PUSH": "true",
        "RECONCILER_REPORT_LOG_LINES": "3",
    }
    found = load_settings(str(config), environ)
    assert (found.host, found.state, found.source.url) == (
        "other",
        "/from/environment",
        environ["RECONCILER_SOURCE_URL"],
    )
    assert (found.source.interval, found.source.require_fast_forward) == (5, False)
    assert (found.notes_push, found.log_lines) == (True, 3)

    assert load_settings(str(config), environ, state="st", cwd=str(tmp_path)).state == str(tmp_path / "st")


def test_no_file_is_needed_where_the_environment_says_enough(tmp_path: Path) -> None:
    environ = {"RECONCILER_HOST": "mini", "RECONCILER_STATE": "/s", "RECONCILER_SOURCE_URL": "/srv/x.git"}

    found = load_settings(None, environ, cwd=str(tmp_path))

    assert (found.host, found.path) == ("mini", None)


def test_a_state_folder_alone_is_no_config(tmp_path: Path) -> None:
    for environ in ({}, {"RECONCILER_STATE": "/s"}):
        with pytest.raises(Usage, match="there is no agent config"):
            load_settings(None, environ, state="/t", cwd=str(tmp_path))


def test_without_any_config_the_places_are_named(tmp_path: Path) -> None:
    error = refused(None, {"HOME": "/home/op"}, tmp_path)

    assert error.message == "there is no agent config"
    for place in ("/home/op/.config/reconciler", "/etc/reconciler/reconciler.yaml"):
        assert place in error.hint
    assert str(tmp_path) not in error.hint
    assert "host: mini" in error.hint


@pytest.mark.parametrize(("option", "environ"), [("gone.yaml", {}), (None, {"RECONCILER_CONFIG": "gone.yaml"})])
def test_a_config_that_was_named_must_be_there(option: str | None, environ: dict[str, str], tmp_path: Path) -> None:
    error = refused(option, environ, tmp_path)

    assert str(tmp_path / "gone.yaml") in error.message
    assert ("--config" if option else "$RECONCILER_CONFIG") in error.hint


def test_every_mistake_is_told_at_once_with_its_place(config: Path, tmp_path: Path) -> None:
    config.write_text("""host: Mini
sauce: {}
source: {url: 'file:///srv/x.git', branch: -x, interval: 10ms, path: ../x}
state: relative
secrets_dir: also/relative
report: {log_lines: many}
""")
    error = refused(str(config), {"RECONCILER_NOTES_PUSH": "perhaps"}, tmp_path)

    places = {detail.split(": ", 1)[0] for detail in error.details}
    assert places == {
        f"{config}:{place}" for place in ("1:7", "2:1", "3:15", "3:44", "3:58", "3:70", "4:8", "5:14", "6:21")
    } | {"$RECONCILER_NOTES_PUSH"}
    assert "Did you mean 'source'?" in next(detail for detail in error.details if "sauce" in detail)
    assert "Write the path alone" in next(detail for detail in error.details if "file://" in detail)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("state: /", "folder of its own"),
        ("source: {url: /x, branch: a..b}", "no branch's name"),
        ("source: {url: /x, branch: a.lock}", "no branch's name"),
        ("source: {url: /x, allowed_signers: keys}", "absolute path"),
        ("source: {url: /x, gpg_home: keys}", "absolute path"),
        ("binds: [{path: relative, reason: x}]", "must be an absolute path"),
        ("grants: [{policy: privileged}]", "'reason' is missing"),
        ("host: &a mini", "anchors"),
        ("state: /x\nstate: /y", "stands twice"),
    ],
)
def test_a_wrong_value_is_refused(config: Path, tmp_path: Path, line: str, told: str) -> None:
    key = line.split(":")[0]
    config.write_text("\n".join([*(part for part in LEAST.splitlines() if not part.startswith(key)), line, ""]))

    error = refused(str(config), {}, tmp_path)

    assert told in error.message


def test_a_file_that_is_no_yaml_is_told_with_its_place(config: Path, tmp_path: Path) -> None:
    config.write_text("host: mini\n\tstate: x\n")

    assert refused(str(config), {}, tmp_path).message.startswith(f"{config}:2:1: this is not valid YAML")


def test_a_password_in_the_address_is_not_repeated(config: Path, tmp_path: Path) -> None:
    error = refused(str(config), {"RECONCILER_SOURCE_URL": "http://op:hunter2@git.example.org/x"}, tmp_path)

    assert "hunter2" not in " ".join([error.message, error.hint, *error.details])


def test_a_good_config_is_read_without_loading_a_validator(config: Path) -> None:
    program = (
        "import sys; from reconciler.settings import load_settings; "
        f"load_settings({str(config)!r}, {{}}); print('jsonschema' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://github.com/me/home.git", ("github", "https://api.github.com", "me/home")),
        ("git@github.com:me/home.git", ("github", "https://api.github.com", "me/home")),
        ("ssh://git@ssh.github.com:443/me/home", ("github", "https://api.github.com", "me/home")),
        ("https://me:token@GitLab.com/group/sub/home", ("gitlab", "https://gitlab.com/api/v4", "group/sub/home")),
        ("https://codeberg.org/me/home", ("forgejo", "https://codeberg.org/api/v1", "me/home")),
        ("git@gitea.com:me/home.git", ("gitea", "https://gitea.com/api/v1", "me/home")),
        ("https://github.com.example.org/me/home", ("", "", "me/home")),
        ("/srv/git/github.com/me/home.git", None),
        ("https://github.com/", None),
        ("https://github.com/me", None),
    ],
)
def test_forges_are_known_by_the_address_of_the_source(url: str, place: tuple[str, str, str] | None) -> None:
    found = place_of(url)
    assert place == (None if found is None else (found.kind, found.api, found.repository))


def test_a_forge_of_ones_own_is_told_by_its_kind(config: Path) -> None:
    config.write_text(
        LEAST.replace("/srv/git/home.git", "'https://git.example.org:3000/me/home.git'")
        + "report: {forge: {kind: gitea, token_file: /etc/t}, comments: failures, deployments: true, statuses: false}\n"
    )
    settings = load_settings(str(config), {})
    assert settings.forge == ForgeSettings("gitea", "https://git.example.org:3000/api/v1", "me/home", "/etc/t")
    assert (settings.comments, settings.deployments, settings.statuses) == ("failures", True, False)
    assert stored_settings(json.loads(json.dumps(asdict(settings)))) == settings


def test_a_token_in_the_environment_is_enough(config: Path) -> None:
    config.write_text(LEAST.replace("/srv/git/home.git", "'git@github.com:me/home.git'") + "report: {forge: {}}\n")
    settings = load_settings(str(config), {TOKEN: "hunter2"})
    assert settings.forge == ForgeSettings("github", "https://api.github.com", "me/home")
    assert "hunter2" not in json.dumps(asdict(settings))
    assert "token" in str(refused(str(config), {}, config.parent))


@pytest.mark.parametrize(
    ("forge", "places", "told"),
    [
        ("{token_file: /t}", {"4:10", "4:17"}, "no kind"),
        ("{kind: gitea, repository: me/home, token_file: /t}", {"4:10", "4:17"}, "no api"),
        ("{kind: gitea, api: 'https://x/api/v1', token_file: /t}", {"4:10", "4:17"}, "no repository"),
        ("{kind: gitea, api: 'http://x/api/v1', repository: me/home, token_file: /t}", {"4:36"}, "in the clear"),
        (
            "{kind: gitea, api: 'http://127.0.0.1.evil.org/', repository: me/home, token_file: /t}",
            {"4:36"},
            "in the clear",
        ),
        ("{kind: gitea, api: 'https://[::1/api', repository: me/home, token_file: /t}", {"4:36"}, "host or port"),
        ("{kind: gitea, api: 'https://x:99999/api', repository: me/home, token_file: /t}", {"4:36"}, "host or port"),
        ("{kind: gitea, api: 'https://u:p@x/api', repository: me/home, token_file: /t}", {"4:36"}, "without a user"),
        ("{kind: gitea, api: 'https://x/api/v1', repository: me, token_file: /t}", {"4:68"}, "owner/name"),
        ("{kind: gitea, api: 'https://x/api/v1', repository: me/home, token_file: t}", {"4:89"}, "absolute path"),
        ("{kind: git, api: 'https://x/api/v1', repository: me/home, token_file: /t}", {"4:24"}, "gitea"),
        (
            "{kind: gitea, api: 'https://x/api/v1', repository: me/home, tokenfile: /t}",
            {"4:77", "4:10", "4:17"},
            "token_file",
        ),
    ],
)
def test_a_forge_that_cannot_be_told_is_named_with_its_place(
    config: Path, forge: str, places: set[str], told: str
) -> None:
    config.write_text(LEAST + f"report: {{forge: {forge}}}\n")
    error = refused(str(config), {}, config.parent)
    lines = error.details or (str(error),)
    assert told in " ".join(lines)
    assert {line.split(": ", 1)[0].removeprefix(f"{config}:") for line in lines} <= places


@pytest.mark.parametrize("api", ["http://127.0.0.1:3000/api/v1", "http://localhost/x", "http://[::1]:3000/api/v1"])
def test_plain_http_is_for_loopback_alone(config: Path, api: str) -> None:
    forge = {"kind": "gitea", "api": api, "repository": "me/home", "token_file": "/t"}
    config.write_text(LEAST + "report: " + json.dumps({"forge": forge}) + "\n")
    settings = load_settings(str(config), {})
    assert settings.forge is not None
    assert settings.forge.api == api


def test_credentials_of_the_source_are_files_beside_the_address(config: Path) -> None:
    files = {"token_file": "/etc/t", "username": "deploy", "ca_file": "~/ca.pem"}
    source = {"url": "https://git.example.org/me/home.git", **files}
    config.write_text(f"host: mini\nsource: {json.dumps(source)}\nstate: /s\n")
    settings = load_settings(str(config), {"HOME": "/home/op"})
    wanted = SourceSettings(source["url"], token_file="/etc/t", username="deploy", ca_file="/home/op/ca.pem")
    assert settings.source == wanted
    assert stored_settings(json.loads(json.dumps(asdict(settings)))) == settings
    config.write_text(LEAST.replace("/srv/git/home.git", "'ssh://git@h/x', key_file: k, username: 'a:b'"))
    told = " ".join(refused(str(config), {}, config.parent).details)
    assert "source.key_file must be an absolute path" in told
    assert "letters, digits, ., _, @" in told


def test_http_needs_signatures_and_says_why(config: Path) -> None:
    config.write_text(LEAST.replace("/srv/git/home.git", "'http://git.example.org/me/home.git'"))
    error = refused(str(config), {}, config.parent)
    assert str(error).startswith(f"{config}:2:")
    assert "other commits in the place of yours" in str(error)
    assert "allowed_signers" in str(error)
    environ = {"RECONCILER_SOURCE_ALLOWED_SIGNERS": "/etc/signers"}
    assert load_settings(str(config), environ).source.url.startswith("http://")
    assert "in the clear" in str(
        refused(str(config), {**environ, "RECONCILER_SOURCE_TOKEN_FILE": "/etc/t"}, config.parent)
    )
