"""Texts of the hooks for accepted and refused pushes and commits. Git puts `remote: ` before each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.record.text.layout import Style, paragraph, plural, short
from reconciler.record.text.validation import budget_table
from reconciler.record.text.words import place

Json = Mapping[str, Any]

STYLE = Style(width=72)
"""Columns; with `remote: ` before them, 80."""

MOST = 50
"""Maximum of shown violations; `validate` shows all."""


def option(given: str, known: Sequence[str]) -> list[str]:
    return _said(f"there is no push option {given}; there are {' and '.join(known)}")


def deletion(branch: str, option: str) -> list[str]:
    told = f"refused: this push deletes {branch}, the watched branch. To delete it anyway: git push -o {option} …"
    return _said(told)


def rewritten(branch: str, old: str, new: str, option: str) -> list[str]:
    told = f"refused: {short(new)} does not descend from {short(old)}, so {branch} would be rewritten"
    hint = (
        f"git pull --rebase and push again. To rewrite it: git push --force -o {option} …; then the agent holds it, "
        f"until `reconciler accept {short(new)}` on the machine"
    )
    return [*_said(told), *paragraph(hint, STYLE, "  ")]


def unknown(name: str, why: str) -> list[str]:
    """The commit could not be judged here."""
    return _said(f"{name} could not be checked here, the agent checks it: {why}")


def broken(hook: str, why: str) -> list[str]:
    """The hook itself has failed."""
    undone = "the rollout cannot be shown" if hook == "post-receive" else "nothing was checked, the agent checks it"
    return _said(f"{undone}: {why}")


def unseen(trouble: str, excused: bool) -> list[str]:
    """Parts that were judged without the agent config or secrets_dir."""
    told = []
    if trouble:
        told += _said(f"the agent config cannot be used here, so its grants are not known: {trouble}")
    if excused:
        told += _said("not checked here: grants of the agent config, and values of secrets_dir")
    return told


def valid(name: str, document: Json, unseen: Sequence[str], quiet: bool) -> list[str]:
    """`quiet`: print only what was not checked."""
    warned = len(document["violations"])
    told = f"{name} is valid" + (f", with {plural(warned, 'warning')}: see `reconciler validate`" if warned else "")
    return [*unseen, *([] if quiet and not unseen else _said(told))]


def invalid(name: str, document: Json, unseen: Sequence[str]) -> list[str]:
    denied = [item for item in document["violations"] if item["level"] == "deny"]
    lines = [*_said(f"{name} is refused: {plural(len(denied), 'violation')}")]
    for item in denied[:MOST]:
        lines += [_violation(item), *(paragraph(f"hint: {item['hint']}", STYLE, "  ") if item["hint"] else [])]
    if len(denied) > MOST:
        lines.append(f"and {len(denied) - MOST} more: see `reconciler validate`")
    if any(item["reason"] == "BudgetExceeded" for item in denied) and document["budget"]:
        lines += budget_table(document["budget"], STYLE)
    return [*lines, *unseen]


def _violation(item: Json) -> str:
    """On one line, so that editors and terminals find the place."""
    at = item["path"] or place(item["stack"], item["service"]) or "(whole commit)"
    return f"{at}:{item['line']}: {item['message']}" if item["path"] and item["line"] else f"{at}: {item['message']}"


def _said(text: str) -> list[str]:
    return paragraph(f"reconciler: {text}", STYLE, after="  ")
