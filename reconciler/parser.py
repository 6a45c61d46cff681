"""Parses the command line by the table of verbs. For a mistake, the error says what was probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from reconciler import __version__
from reconciler.commands import EXIT_CODES, GLOBAL, VERBS, Option, Verb
from reconciler.errors import Usage
from reconciler.model.outcome import Reason


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The typed options; `verb` is the entry of the table. Usage if they cannot be understood; SystemExit(0) after
    --help and --version."""
    try:
        typed = _parser(_among(arguments)).parse_args(arguments)
        wrong = typed.verb.check(typed)
        if wrong is not None:
            raise argparse.ArgumentError(None, wrong)
    except argparse.ArgumentError as error:
        message, hint = _explain(str(error), arguments)
        raise Usage(Reason.USAGE_INVALID, message, hint) from error
    return typed


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the last --output that was typed is json, even if the rest cannot be understood."""
    return re.findall(r"(?:^| )--output[= ](\S+)", " ".join(arguments))[-1:] == ["json"]


def _among(arguments: Sequence[str]) -> Sequence[Verb]:
    """The verbs that may have been typed, because making the parsers of all takes longer than some verbs. All verbs for
    --help, and if no known verb was typed."""
    words = {*arguments}
    named = [verb for verb in VERBS if words.issuperset(verb.name.split())]
    return named if named and words.isdisjoint(("-h", "--help")) else VERBS


def _parser(among: Sequence[Verb]) -> argparse.ArgumentParser:
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
    for verb in among:
        group, _, own = verb.name.rpartition(" ")
        if group and group not in groups:
            inside = _group(group)
            told = f"{', '.join(inside)}: see `reconciler {group} --help`" if inside[1:] else f"{own}: {verb.help}"
            words = verbs.add_parser(group, help=told, allow_abbrev=False)
            _add(words, GLOBAL, argparse.SUPPRESS)
            groups[group] = words.add_subparsers(metavar="VERB", required=True)
        child = (groups[group] if group else verbs).add_parser(
            own, help=verb.help, description=f"{verb.help}.", allow_abbrev=False
        )
        child.set_defaults(verb=verb)
        # The verb's parser also knows these options; without SUPPRESS its default would replace an earlier value.
        _add(child, GLOBAL, argparse.SUPPRESS)
        _add(child, verb.options)
    return parser


def _add(parser: argparse.ArgumentParser, options: Sequence[Option], default: str | None = None) -> None:
    for option in options:
        more = dict(option.more)
        if option.name.startswith("--"):
            more["default"] = default or (option.default or (None if option.value else False))
            more |= {"metavar": option.value} if option.value else {"action": "store_true"}
        told = f" (default: {option.default})" if option.default else ""
        names = filter(None, (option.short, option.name))
        parser.add_argument(*names, help=option.help.replace("%", "%%") + told, **more)


def _explain(message: str, arguments: Sequence[str]) -> tuple[str, str]:
    """A message and a hint for argparse's message, with what was probably meant."""
    firsts = list(dict.fromkeys(verb.name.partition(" ")[0] for verb in VERBS))
    first = next((word for word in arguments if word in firsts), "")
    names = _group(first) or firsts
    verb = next((f"{first} {word}" for word in arguments if word in _group(first)), first)
    see = f"`reconciler {verb} --help` lists its options" if verb else "`reconciler --help` lists the verbs"
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
    """The second words of the verbs with this first word."""
    return [own for group, _, own in (verb.name.partition(" ") for verb in VERBS) if own and group == first]


def _flags(verb: str) -> list[str]:
    own = (option for item in VERBS if item.name == verb for option in item.options)
    return [option.name for option in (*GLOBAL, *own) if option.name.startswith("--")]


def _did_you_mean(word: str, known: Sequence[str], first: str = "") -> str:
    import difflib  # imported here, because a correct call never needs it

    close = difflib.get_close_matches(word.partition("=")[0], known, 1)
    return f"did you mean {f'{first} {close[0]}'.strip()}?" if close else ""
