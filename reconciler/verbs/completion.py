"""`completion`: a script for the shell that completes verbs, options and names of machines."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.commands import GLOBAL, VERBS, Option

_SCRIPT = """\
# For bash: source <(reconciler completion bash)
# For zsh, before it: autoload -U +X bashcompinit && bashcompinit
_reconciler() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} verb='' skip='' item
    for item in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
        if [ -n "$skip" ]; then skip=''; continue; fi
        case $item in
            {valued}) skip=yes ;;
            -*) ;;
            *) verb="${{verb:+$verb }}$item" ;;
        esac
    done
    local words='{options}'
    case $before in
        --on) words=$(reconciler completion hosts 2>/dev/null) ;;
{choices}
        *)
            case $verb in
{verbs}
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _reconciler reconciler
"""


def bash() -> str:
    """The script, made from the table of verbs."""
    options = [*GLOBAL, *(option for verb in VERBS for option in verb.options)]
    valued = dict.fromkeys(item.name for item in options if item.value and item.name.startswith("-"))
    return _SCRIPT.format(
        valued="|".join(valued),
        options=_words(GLOBAL),
        choices="\n".join(f"        {name}) words='{' '.join(given)}' ;;" for name, given in _choices(options)),
        verbs="\n".join(f'                {pattern}) words="$words {words}" ;;' for pattern, words in _verbs()),
    )


def _choices(options: list[Option]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option with a fixed set of values, and these, once."""
    known = {item.name: tuple(item.more["choices"]) for item in options if "choices" in item.more}
    return ((name, given) for name, given in known.items() if name.startswith("--"))


def _verbs() -> Iterator[tuple[str, str]]:
    """(pattern of typed words, words that may follow), in the order in which the shell tries them."""
    yield "''", " ".join(dict.fromkeys(verb.name.partition(" ")[0] for verb in VERBS))
    for verb in VERBS:
        yield f"'{verb.name}'*", _words(verb.options)
    groups = dict.fromkeys(verb.name.partition(" ")[0] for verb in VERBS if " " in verb.name)
    for group in groups:
        yield f"'{group}'", " ".join(verb.name.split()[1] for verb in VERBS if verb.name.startswith(f"{group} "))


def _words(options: tuple[Option, ...]) -> str:
    """Names of options, and the values that an argument can have."""
    return " ".join(
        name
        for item in options
        for name in ([item.name] if item.name.startswith("-") else map(str, item.more.get("choices", ())))
    )
