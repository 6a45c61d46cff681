"""What can be typed: verbs and options as a table, from which the parser and docs/commands.md are made."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from reconciler import __version__
from reconciler.errors import Usage
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.model.outcome import Reason


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument. `name` as typed; `value` what follows it ('' for a switch); `more` is argparse's."""

    name: str
    help: str
    value: str = ""
    default: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verb:
    """`name`: one word, or two of which the first is shared by a group. `zero` and `one`: what exit codes 0 and 1 mean.
    `kind`: the JSON document it prints."""

    name: str
    help: str
    zero: str
    one: str
    kind: str
    options: tuple[Option, ...] = ()


EXIT_CODES = {
    0: "yes, done, no difference",
    1: "no: invalid, would change, rejected, reverted, held, not healthy",
    2: "wrong usage or agent config; nothing was tried",
    3: "could not find out: engine, Compose, remote, registry or disk failed; nothing was quarantined",
    4: "a person is needed: stalled, or the journal is corrupt",
    75: "another process holds the state folder",
    130: "ended by SIGINT after a clean stop; nothing that runs was stopped",
    143: "ended by SIGTERM, likewise",
}


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except QuantityError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _some_time(text: str) -> float:
    found = _duration(text)
    if found <= 0:
        raise argparse.ArgumentTypeError("nothing would be suspended for no time at all")
    return found


def _reason(text: str) -> str:
    if not text.strip() or len(text) > 500:
        raise argparse.ArgumentTypeError("a reason has from 1 to 500 characters")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


GLOBAL = (
    Option("--config", "agent config; without it the usual places are searched", "FILE"),
    Option("--state", "state folder, instead of the config's `state`", "DIR"),
    Option("--output", "text for people, or one JSON document", "FORMAT", "text", {"choices": ("text", "json")}),
    Option("--no-color", "no colours, even on a terminal (so does $NO_COLOR)", more={"action": "store_true"}),
)

NO_WAIT = Option(
    "--no-wait",
    "do not wait (at most 10 s) until a running agent has answered",
    more={"action": "store_true"},
)

EVERY = Option(
    "--all",
    "in the text, every warning with its hint, not one line for each rule",
    more={"action": "store_true"},
)

VERBS = (
    Verb(
        "init",
        "Generate files to adopt running Compose projects; overwrites nothing",
        "written",
        "refused to overwrite, or the Compose files cannot be read",
        "Init",
        (
            Option("DIR", "folder of a Compose project, or of several", more={"nargs": "?"}, default="."),
            Option("--host", "the host's name; without it the agent config's, or the machine's", "NAME"),
            Option("--source", "the repository to watch; without it its origin, or the folder itself", "URL"),
        ),
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
                "off: judge what Compose judges, and nothing more",
                "on|off",
                "on",
                {"choices": ("on", "off")},
            ),
            EVERY,
            Option(
                "--grants",
                "print what the commit needs instead: grants, binds, exports and names, to be pasted",
                more={"action": "store_true"},
            ),
        ),
    ),
    Verb(
        "plan",
        "Show what a commit would change, step by step; changes nothing",
        "nothing to do",
        "there are steps, or violations",
        "Plan",
        (Option("--commit", "this commit instead of the branch's head", "REV"), EVERY),
    ),
    Verb(
        "once",
        "Take one turn: fetch, decide, switch or go back; returns when it is decided",
        "the head is applied and good",
        "it is not: rejected, reverted or held",
        "Turn",
        (Option("--timeout", "give up after so long", "DURATION", "30m", {"type": _duration}),),
    ),
    Verb("run", "Keep the machine at the branch until SIGTERM; SIGHUP: look now", "", "", ""),
    Verb(
        "status",
        "Show how things stand",
        "Synced and Healthy",
        "not both",
        "Status",
        (Option("--no-engine", "do not ask the engine", more={"action": "store_true"}),),
    ),
    Verb(
        "history",
        "Show what was tried, newest first",
        "shown",
        "",
        "History",
        (
            Option("REV", "only this commit (a sha or its beginning, a branch), with details", more={"nargs": "?"}),
            Option("--limit", "at most so many", "N", "20", {"type": _count}),
        ),
    ),
    Verb(
        "suspend",
        "Change nothing on the machine from now on; a rollout that is under way ends first",
        "suspended",
        "refused",
        "Request",
        (
            Option("--reason", "why, for those who look at `status`", "TEXT", more={"required": True, "type": _reason}),
            Option("--for", "ends by itself after so long, else at `resume`", "DURATION", more={"type": _some_time}),
            NO_WAIT,
        ),
    ),
    Verb("resume", "End a suspension", "not suspended any more", "refused", "Request", (NO_WAIT,)),
    Verb(
        "retry",
        "Try a refused commit again, or end a stall; delays and breakers start again",
        "it is tried at the next turn, where it is the branch's head",
        "refused: unknown, or nothing keeps it from being tried",
        "Request",
        (Option("REV", "a sha, its beginning, or the branch"), NO_WAIT),
    ),
    Verb(
        "accept",
        "Let a held commit pass, and no other; or take what runs after a rollback that failed",
        "it may pass",
        "refused: unknown, not held, or not the branch's head",
        "Request",
        (Option("REV", "a sha, its beginning, or the branch"), NO_WAIT),
    ),
    Verb(
        "doctor",
        "See whether everything is there that an agent needs; changes nothing",
        "all well, as far as it could be checked",
        "something is not",
        "Doctor",
    ),
    Verb(
        "policy unused",
        "Show grants and binds of the agent config that nothing has used for a month",
        "there are none",
        "there are some",
        "PolicyUse",
    ),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What was typed. Usage where it cannot be understood; SystemExit(0) after --help and --version."""
    try:
        options = _parser().parse_args(arguments)
        _check_validate(options)
    except argparse.ArgumentError as error:
        message, hint = _explain(str(error), arguments)
        raise Usage(Reason.USAGE_INVALID, message, hint) from error
    return options


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether --output json was typed, also where the rest cannot be understood."""
    text = " ".join(arguments)
    return re.search(r"(?:^| )--output[= ]json(?: |$)", text) is not None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "reconciler",
        description="GitOps for Docker Compose on one machine: a commit becomes a healthy stack, or is rolled back.",
        epilog="Exit codes: " + "; ".join(f"{code} {text}" for code, text in EXIT_CODES.items()) + ".",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"reconciler {__version__}")
    _add(parser, GLOBAL)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    groups: dict[str, Any] = {}
    for verb in VERBS:
        group, _, own = verb.name.rpartition(" ")
        if group and group not in groups:
            told = f"{', '.join(_group(group))}: see `reconciler {group} --help`"
            words = verbs.add_parser(group, help=told, allow_abbrev=False)
            _add(words, GLOBAL, argparse.SUPPRESS)
            groups[group] = words.add_subparsers(metavar="VERB", required=True)
        among = groups[group] if group else verbs
        child = among.add_parser(own, help=verb.help, description=f"{verb.help}.", allow_abbrev=False)
        child.set_defaults(verb=verb.name)
        # An option typed before the verb must survive that the verb's parser knows it as well.
        _add(child, GLOBAL, argparse.SUPPRESS)
        _add(child, verb.options)
    return parser


def _add(parser: argparse.ArgumentParser, options: Sequence[Option], default: str | None = None) -> None:
    for option in options:
        more = dict(option.more)
        if option.name.startswith("--"):
            more["default"] = default or (option.default or (None if option.value else False))
            more |= {"metavar": option.value} if option.value else {}
        told = f" (default: {option.default})" if option.default else ""
        parser.add_argument(option.name, help=option.help.replace("%", "%%") + told, **more)


def _check_validate(options: argparse.Namespace) -> None:
    if options.verb != "validate":
        return
    given = [
        name for name, value in (("DIR", options.DIR), ("--commit", options.commit), ("--file", options.file)) if value
    ]
    if len(given) > 1:
        raise argparse.ArgumentError(None, f"{' and '.join(given)} cannot be used together")
    if options.git_dir != "." and not options.commit:
        raise argparse.ArgumentError(None, "--git-dir is of use with --commit only")


def _explain(message: str, arguments: Sequence[str]) -> tuple[str, str]:
    """argparse's message and a hint, in words that name what was meant."""
    firsts = list(dict.fromkeys(verb.name.partition(" ")[0] for verb in VERBS))
    first = next((word for word in arguments if word in firsts), "")
    names = _group(first) or firsts
    verb = next((f"{first} {word}" for word in arguments if word in _group(first)), first)
    see = f"`reconciler {verb} --help` lists what can be typed" if verb else "`reconciler --help` lists the verbs"
    wrong_verb = re.search(r"VERB: invalid choice: '(.*?)'", message, re.DOTALL)
    if wrong_verb:
        typed = f"{first} {wrong_verb[1]}" if _group(first) else wrong_verb[1]
        return f"there is no verb {typed!r}", _did_you_mean(wrong_verb[1], names, first) or see
    if "required: VERB" in message:
        asked = f"`reconciler {verb} --help`" if verb else "`reconciler --help`"
        return (
            f"no verb was given{f' after {first}' if first else ''}",
            f"one of {', '.join(names)}; {asked} explains them",
        )
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown != message:
        return f"{unknown.split()[0]} is not known here", _did_you_mean(unknown.split()[0], _flags(verb)) or see
    return message, see


def _group(first: str) -> list[str]:
    """The second words of the verbs that begin so."""
    return [own for group, _, own in (verb.name.partition(" ") for verb in VERBS) if own and group == first]


def _flags(verb: str) -> list[str]:
    own = (option for item in VERBS if item.name == verb for option in item.options)
    return [option.name for option in (*GLOBAL, *own) if option.name.startswith("--")]


def _did_you_mean(word: str, known: Sequence[str], first: str = "") -> str:
    close = difflib.get_close_matches(word.partition("=")[0], known, 1)
    return f"did you mean {f'{first} {close[0]}'.strip()}?" if close else ""
