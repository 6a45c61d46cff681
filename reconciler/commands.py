"""The verbs and options as a table, from which the parser and docs/commands.md are made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Literal

from reconciler.formats.quantities import QuantityError, seconds, size
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument. `name`: as typed; `short`: its short form; `value`: name of its value ('' for a switch);
    `more`: further arguments for argparse."""

    name: str
    help: str
    value: str = ""
    default: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    short: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `Application` has a method of its name, which takes the typed options.

    `name`: one word, or two if a group shares the first. `zero` and `one`: meaning of exit codes 0 and 1. `kind`: the
    JSON document that it prints. `config`: whether an agent config must exist; `optional`: not, unless one is named;
    `made`: the verb writes the named one; `own`: it reads one itself, or none. `patient`: the first signal asks it to
    end. `laptop`: with --on it runs here; other verbs run on that machine. `tolerant`: it also works if secrets cannot
    be read. `root`: it changes the service, which root alone may do if it is one of the whole machine. `logs`: the log
    level without $RECONCILER_LOG_LEVEL. `check`: returns the mistake in options that exclude each other.
    """

    name: str
    help: str
    zero: str
    one: str
    kind: str
    options: tuple[Option, ...] = ()
    config: Literal["needed", "optional", "made", "own"] = "needed"
    patient: bool = False
    laptop: bool = False
    tolerant: bool = False
    root: bool = False
    logs: str = "WARNING"
    check: Callable[[argparse.Namespace], str | None] = lambda typed: None

    @property
    def method(self) -> str:
        """The name of the verb's method in `Application`."""
        return re.sub("[ -]", "_", self.name)


EXIT_CODES = {
    0: "yes, done, no difference",
    1: "no: invalid, would change, rejected, rolled back, held, not healthy",
    2: "wrong usage or agent config; nothing was tried",
    3: "could not find out: engine, Compose, remote, registry or disk failed; nothing was quarantined",
    4: "a person is needed: stalled, or the journal is corrupt",
    75: "another process holds the state folder",
    130: "ended by SIGINT after a clean stop; nothing that runs was stopped",
    143: "ended by SIGTERM, likewise",
}


LONGEST = 100 * 366 * 86_400.0
"""Seconds of the longest duration that an option takes, so that no time that follows from it is beyond what can be
written."""

LATEST = 32_000_000_000.0
"""Unix seconds in the year 2984. Later moments count as this one, and moments before 1970 as 1970."""


def _duration(text: str) -> float:
    try:
        found = seconds(text)
    except QuantityError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found > LONGEST:
        raise argparse.ArgumentTypeError("a duration has at most 100 years")
    return found


def _some_time(text: str) -> float:
    found = _duration(text)
    if found <= 0:
        raise argparse.ArgumentTypeError("--for must be positive")
    return found


def _reason(text: str) -> str:
    if not text.strip() or len(text) > 500:
        raise argparse.ArgumentTypeError("a reason has from 1 to 500 characters")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


HARDENING = ("ssh", "firewall", "fail2ban")


def _parts(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if found == ("none",):
        return ()
    wrong = [part for part in found if part not in HARDENING]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is not one of {', '.join(HARDENING)}, none")
    return found


def _data_root(text: str) -> str:
    plain = re.fullmatch(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+", text)
    top = text.split("/")[1] if plain else ""
    if not plain or top in _NO_DATA:
        raise argparse.ArgumentTypeError(f"{text!r} must be an absolute path like /srv/docker, and not below /{top}")
    return text


_NO_DATA = ("tmp", "proc", "sys", "dev", "run", "boot", "etc")


def _one_subject(typed: argparse.Namespace) -> str | None:
    """`validate` takes only one of DIR, --commit and --file."""
    given = {"DIR": typed.DIR, "--commit": typed.commit, "--file": typed.file}
    named = [name for name, value in given.items() if value]
    if len(named) > 1:
        return f"{' and '.join(named)} cannot be used together"
    if typed.git_dir != "." and not typed.commit:
        return "--git-dir is only used with --commit"
    return None


def _init_options(typed: argparse.Namespace) -> str | None:
    """`init` reads a folder, or takes what runs, or makes a repository."""
    if typed.bare and (typed.DIR or typed.source or typed.running):
        return "--bare makes a repository: DIR, --source and --running are of no use with it"
    if typed.running and not typed.DIR:
        return "--running needs DIR, a new folder for the copies"
    return "--user is for --running" if typed.user and not typed.running else None


def _size(text: str) -> int:
    try:
        return size(text)
    except QuantityError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _moment(text: str) -> Callable[[float], float]:
    """Read a duration or a time. The result turns the present time into the meant moment (both in Unix seconds)."""
    try:
        ago = seconds(text)
        return lambda now: max(0.0, now - ago)
    except QuantityError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        told = f"{text!r} is neither a duration, like 10m, nor a time, like 2026-11-29T06:30:00Z"
        raise argparse.ArgumentTypeError(told) from error
    at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return lambda now: min(max(0.0, at), LATEST)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def _log_options(typed: argparse.Namespace) -> str | None:
    """--follow has no end, so it excludes options for past lines and `export`."""
    if typed.NAME[:1] == ["export"]:
        if len(typed.NAME) < 2:
            return "write `logs export DIR`: the folder that it makes"
        if typed.follow:
            return "--follow and `export` cannot be used together"
    for given, name in ((typed.until, "--until"), (typed.previous, "--previous")):
        if typed.follow and given:
            return f"--follow and {name} cannot be used together"
    if typed.previous and (typed.since or typed.until):
        return "--previous shows the whole log: --since and --until are of no use with it"
    return None


def _alert_words(typed: argparse.Namespace) -> str | None:
    words = typed.WORD
    return None if not words or (words[0] == "test" and len(words) == 2) else "write `alerts` or `alerts test NAME`"


_MOMENT = {"type": _moment}

GLOBAL = (
    Option("--config", "agent config; without it the usual places are searched", "FILE"),
    Option("--state", "state folder, instead of the config's `state`", "DIR"),
    Option("--on", "run it on this machine instead: a name of hosts.yaml, or a git remote of the clone", "NAME"),
    Option("--output", "text for people, or one JSON document", "FORMAT", "text", {"choices": ("text", "json")}),
    Option("--no-color", "no colours, even on a terminal (so does $NO_COLOR)"),
)

NO_WAIT = Option("--no-wait", "do not wait for a running agent's answer (otherwise at most 10 s)")

EVERY = Option("--all", "in the text, each warning with its hint, instead of one line for each rule")

HOOKS = ("pre-commit", "pre-push", "pre-receive", "post-receive")
REPOSITORY = Option("--repo", "the clone or bare repository", "DIR", ".")

PRINT = Option("--print", "only show what would be done")
PLATFORM = Option(
    "--platform",
    "the service manager; auto: the one of this machine",
    "NAME",
    "auto",
    {"choices": ("auto", "systemd", "systemd-user", "launchd")},
)

FOLLOWING = (
    Option("--wait", "wait for the verdict (the default)"),
    Option("--no-wait", "do not wait for the verdict"),
    Option("--timeout", "do not wait longer than this", "DURATION", "30m", {"type": _duration}),
)

VERBS = (
    Verb(
        "init",
        "Generate files to adopt running Compose projects; overwrites nothing",
        "written",
        "refused to overwrite, or the Compose files cannot be read; with --running also if the first turn would reject "
        "the commit or replace a container",
        "Init",
        (
            Option("DIR", "folder of a Compose project, or of several", more={"nargs": "?"}, default="."),
            Option("--host", "the host's name; without it the agent config's, or the machine's", "NAME"),
            Option("--source", "the repository to watch; without it its origin, or the folder itself", "URL"),
            Option("--bare", "make a bare repository with our hooks instead, to push to", "PATH"),
            Option(
                "--running",
                "take all projects that run on this machine, wherever they lie; their files are copied into DIR",
            ),
            Option("--user", "with --running, as root: the agent's account, which then owns the copies", "NAME"),
        ),
        config="made",
        check=_init_options,
    ),
    Verb(
        "validate",
        "Check a folder, a commit or Compose files; needs no engine and no state",
        "valid, perhaps with warnings",
        "at least one violation of level deny",
        "Validation",
        (
            Option("DIR", "folder with desired-state/ or a Compose file", more={"nargs": "?"}, default="."),
            Option("--commit", "this commit instead of a folder", "REV"),
            Option("--git-dir", "repository of --commit", "PATH", default="."),
            Option(
                "--file",
                "plain Compose files, as `docker compose -f` takes them",
                "COMPOSE_FILE",
                more={"nargs": "+", "action": "extend"},
            ),
            Option(
                "--policies",
                "off: check only what Compose itself checks",
                "on|off",
                "on",
                {"choices": ("on", "off")},
            ),
            EVERY,
            Option(
                "--grants", "print only the grants, binds, exports and variables that the commit needs, ready to paste"
            ),
        ),
        config="optional",
        check=_one_subject,
    ),
    Verb(
        "plan",
        "Show the outcome and the steps of the next turn; changes nothing",
        "nothing to do",
        "there are steps, or the commit would be held, rejected or not tried",
        "Plan",
        (Option("--commit", "this commit, as if it were the branch's head", "REV"), EVERY),
    ),
    Verb(
        "once",
        "Take one turn: fetch, decide, roll out or roll back; returns with the verdict",
        "the head is applied and good",
        "it is not: rejected, rolled back or held",
        "Turn",
        (Option("--timeout", "give up after this time", "DURATION", "30m", {"type": _duration}),),
        patient=True,
    ),
    Verb(
        "run",
        "Keep the machine at the branch's head until SIGTERM; SIGHUP fetches at once",
        "",
        "",
        "",
        patient=True,
        logs="INFO",
    ),
    Verb(
        "engine-read",
        "Serve sockets on which tools in containers may read the engine, until SIGTERM",
        "",
        "",
        "",
        patient=True,
        logs="INFO",
    ),
    Verb(
        "status",
        "Show the status of the host and its services",
        "Synced and Healthy",
        "not both",
        "Status",
        (
            Option("--no-engine", "do not ask the engine"),
            Option("--all", "from the laptop: every machine of hosts.yaml, one row each"),
            Option("--from-notes", "the newest outcome of each machine, from its git notes; needs no ssh"),
        ),
        config="optional",
        tolerant=True,
    ),
    Verb(
        "history",
        "Show attempts, newest first",
        "shown",
        "",
        "History",
        (
            Option("REV", "only this commit (a sha or its beginning, a branch), with details", more={"nargs": "?"}),
            Option("--limit", "at most N attempts", "N", "20", {"type": _count}),
        ),
        tolerant=True,
    ),
    Verb(
        "logs",
        "Show what services have printed, merged by time, with secrets masked; times are UTC",
        "shown",
        "there is no such stack or service",
        "logLine",
        (
            Option(
                "NAME",
                "STACK or STACK/SERVICE; without any, all. `export DIR [NAME …]` writes them into a new folder, a file "
                "for each service",
                more={"nargs": "*"},
            ),
            Option("--follow", "also show new lines as they are printed, also of new containers", short="-f"),
            Option("--since", "from then on: 10m (ago), or a time as 2026-11-29T06:30:00Z", "TIME", more=_MOMENT),
            Option("--until", "up to then; as --since", "TIME", more=_MOMENT),
            Option(
                "--level",
                "only lines of this level and worse; a line that names none counts as info",
                "LEVEL",
                more={"choices": ("debug", "info", "warning", "error")},
            ),
            Option("--grep", "only lines in which this regular expression is found", "REGEX", more={"type": _pattern}),
            Option(
                "--tail",
                "only the newest N lines of each service; with --follow it begins with 20",
                "N",
                more={"type": _count},
                short="-n",
            ),
            Option("--previous", "of the containers that were replaced last"),
        ),
        tolerant=True,
        check=_log_options,
    ),
    Verb(
        "alerts",
        "Show active alerts that the monitor has found; `alerts test NAME` fires NAME for two minutes, to try it",
        "none is active",
        "some are active",
        "Alerts",
        (Option("WORD", "`test NAME`, or nothing", more={"nargs": "*"}),),
        tolerant=True,
        check=_alert_words,
    ),
    Verb(
        "monitor",
        "Serve a page, metrics and webhooks on 127.0.0.1:9464 until SIGTERM; needs the extra `monitor`",
        "",
        "",
        "",
        (Option("--textfile", "also write the metrics to DIR/reconciler.prom, for node_exporter", "DIR"),),
        patient=True,
        tolerant=True,
        logs="INFO",
    ),
    Verb(
        "dashboard",
        "Show the machine live in this terminal, until q; needs the extra `tui`",
        "left by q",
        "",
        "",
        patient=True,
        tolerant=True,
    ),
    Verb(
        "suspend",
        "Change nothing on the machine from now on; a rollout that has stopped or started something ends first",
        "suspended",
        "refused",
        "Request",
        (
            Option("--reason", "why; `status` shows it", "TEXT", more={"required": True, "type": _reason}),
            Option(
                "--for",
                "end it after this time; without it only `resume` ends it",
                "DURATION",
                more={"type": _some_time, "dest": "seconds"},
            ),
            NO_WAIT,
        ),
    ),
    Verb("resume", "End a suspension", "not suspended any more", "refused", "Request", (NO_WAIT,)),
    Verb(
        "retry",
        "Try a rejected or quarantined commit again, or end a stall; delays begin anew",
        "it is tried at the next turn, if it is the branch's head",
        "refused: unknown, or the agent tries it anyway",
        "Request",
        (Option("REV", "a sha, its beginning, or the branch"), NO_WAIT),
    ),
    Verb(
        "accept",
        "Let exactly this held commit pass; after a failed rollback, accept the running state",
        "it may pass",
        "refused: unknown, not held, or not the branch's head",
        "Request",
        (Option("REV", "a sha, its beginning, or the branch"), NO_WAIT),
    ),
    Verb(
        "doctor",
        "Check everything that the agent needs; changes nothing",
        "no check failed",
        "a check failed",
        "Doctor",
        (
            Option(
                "--security",
                "instead: how closed the machine is (ssh, firewall, fail2ban, published ports, keys); best as root",
            ),
        ),
        tolerant=True,
    ),
    Verb(
        "preview",
        "Judge open pull requests once, and keep their comment and status; a running agent does it by itself",
        "each open pull request is judged and told",
        "one could not be judged or told",
        "Preview",
    ),
    Verb(
        "key",
        "Make or show the deploy key with which git reads the source over ssh",
        "made or shown; with --register, the forge has it as a key that may only read",
        "the forge refused it, or has it as a key that may write",
        "Key",
        (Option("--register", "add it to the forge as a read-only key, with the token of `report.forge`"),),
        tolerant=True,
    ),
    Verb(
        "policy unused",
        "Show grants and binds of the agent config that nothing has used for a month",
        "there are none",
        "there are some",
        "PolicyUse",
    ),
    Verb(
        "install",
        "Make the agent a service of this machine (systemd, launchd) and start it; again after a change of its config",
        "installed and started",
        "a file of somebody else is in the way; nothing was changed",
        "Install",
        (
            PRINT,
            Option(
                "--user",
                "the account that the agent runs as; without it the owner of the state folder, else the caller",
                "NAME",
            ),
            PLATFORM,
            Option("--no-start", "write the files and enable the service, but do not start it"),
        ),
        tolerant=True,
        root=True,
    ),
    Verb(
        "uninstall",
        "Remove the service; with --level also the containers, or the state. Volumes and data/ always stay",
        "removed, or shown by --print",
        "not confirmed; nothing was removed",
        "Install",
        (
            Option(
                "--level",
                "agent: only the service; containers: also what it runs; state: also its files in the state folder",
                "LEVEL",
                "agent",
                {"choices": ("agent", "containers", "state")},
            ),
            PRINT,
            Option("--yes", "do not ask"),
            PLATFORM,
        ),
        tolerant=True,
        root=True,
    ),
    Verb(
        "upgrade",
        "Let another version of this program take over; the old one returns if the new one takes no good turn",
        "the new version runs, or ran already",
        "refused, or the old version has returned",
        "Upgrade",
        (
            Option(
                "WHEEL",
                "a wheel, or a version in `wheels` beside the versions; without it the newest there",
                more={"nargs": "?"},
            ),
            Option("--self-update", "take the version that the branch asks for, if the agent config allows it"),
            Option("--print", "only compare what the new version would do; it is unpacked for that"),
            PLATFORM,
        ),
        patient=True,
        tolerant=True,
        check=lambda typed: "--self-update takes no WHEEL" if typed.self_update and typed.WHEEL else None,
        root=True,
    ),
    Verb(
        "bootstrap",
        "From the laptop: make a bare machine a reconciling host, over your own ssh; again at any time",
        "Synced, or shown by --dry-run",
        "something is missing: the checks say what",
        "Bootstrap",
        (
            Option("HOST", "where ssh goes: USER@HOST, a host of your ssh config, or ssh://USER@HOST:PORT"),
            Option("--name", "the host's name, in its agent config and for --on", "NAME", more={"required": True}),
            Option("--dry-run", "only show what would change, in words and as commands"),
            Option(
                "--repository",
                "what it watches: bare, a repository on the machine to push to; or the address of another one",
                "URL|bare",
                "bare",
            ),
            Option("--branch", "the branch that it watches", "BRANCH", "main"),
            Option(
                "--engine-memory",
                "on a Mac: memory of the engine's virtual machine; without it three quarters of the Mac's",
                "SIZE",
                more={"type": _size},
            ),
            Option(
                "--channel",
                "what to install: a wheel, a folder with wheels, or a version; without it what runs here",
                "PATH|VERSION",
            ),
            Option(
                "--harden",
                "parts of the hardening, separated by commas (ssh, firewall, fail2ban), or none; without it "
                "all parts, as root all except ssh, on a Mac none",
                "PARTS",
                more={"type": _parts},
            ),
            Option("--adopt", "make the first commit from the Compose projects that run there; none of them restarts"),
            Option(
                "--data-root",
                "folder of the engine's images, containers and volumes, if it has none yet; its parent must exist",
                "PATH",
                more={"type": _data_root},
            ),
            Option(
                "--tailscale",
                "let the machine join your tailnet, and reach it there; without a key it shows a page to log in",
            ),
            Option(
                "--tailscale-key",
                "--tailscale with the auth key in this file; without it the key in $TS_AUTHKEY, if it is set",
                "FILE",
            ),
        ),
        config="own",
        laptop=True,
    ),
    Verb(
        "deploy",
        "From the laptop: push HEAD to a machine's branch and follow it to the verdict",
        "the commit is good there",
        "it is not: rejected, rolled back or held",
        "Turn",
        (
            Option("--dirty", "deploy HEAD despite uncommitted changes"),
            *FOLLOWING,
        ),
        config="own",
        patient=True,
        laptop=True,
    ),
    Verb(
        "rollback",
        "From the laptop: push a commit that restores the files of an earlier one, and follow it to the verdict",
        "the restored files are good there",
        "they are not: rejected, rolled back or held",
        "Turn",
        (
            Option("--to", "this commit; without it the newest good commit whose files differ from the head's", "REV"),
            Option("--yes", "do not ask"),
            *FOLLOWING,
        ),
        config="own",
        patient=True,
        laptop=True,
    ),
    Verb(
        "tunnel",
        "From the laptop: forward every published port of a machine's services to here, until Ctrl-C",
        "ended by Ctrl-C",
        "",
        "",
        (Option("SERVICE", "only these: STACK, SERVICE, STACK/SERVICE or monitor", more={"nargs": "*"}),),
        config="own",
        patient=True,
        laptop=True,
    ),
    Verb(
        "nettest",
        "From the laptop: measure the connection to a machine: round trips, transfer, services, stability",
        "the connection is good",
        "something is below its bar",
        "NetTest",
        (Option("--time", "watch the connection for so long", "DURATION", "5m", {"type": _duration}),),
        config="own",
        patient=True,
        laptop=True,
    ),
    Verb(
        "completion",
        "Print a script that completes verbs, options and machines in the shell, or the names of the machines",
        "printed",
        "",
        "",
        (Option("WHAT", "bash (for zsh, too), or hosts", more={"choices": ("bash", "hosts")}),),
        config="own",
    ),
    Verb(
        "notify test",
        "Send one notification to each target of the agent config",
        "all targets accepted it",
        "one did not",
        "NotifyTest",
        tolerant=True,
    ),
    Verb(
        "hooks install",
        "Install hooks: checks before a commit and a push, the rollout in the push; existing hooks are kept",
        "installed",
        "another hook is in the way and cannot be kept beside ours; nothing was changed",
        "Hooks",
        (REPOSITORY,),
        config="own",
    ),
    Verb(
        "hooks uninstall",
        "Remove our hooks; the hooks from before are restored",
        "removed",
        "",
        "Hooks",
        (REPOSITORY,),
        config="own",
    ),
    Verb(
        "hooks status",
        "Show which of our hooks are in a repository",
        "all are installed, in this version",
        "one is missing, has another version, or is somebody else's",
        "Hooks",
        (REPOSITORY,),
        config="own",
    ),
    Verb(
        "hooks run",
        "Called by the hooks; not for people",
        "git may go on",
        "it may not",
        "",
        (
            Option("HOOK", "pre-commit, pre-push, pre-receive or post-receive", more={"choices": HOOKS}),
            Option("ARGUMENTS", "the arguments that git gives the hook", more={"nargs": "*"}),
        ),
        config="own",
    ),
)
