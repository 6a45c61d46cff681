"""Files that git holds in another form than their content, and that a container or a build would read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from reconciler.decide.admit.policies.amounts import uses
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import inside
from reconciler.decide.read.stored_forms import LOST
from reconciler.formats import dockerfile
from reconciler.formats.globs import DockerIgnore, fits
from reconciler.formats.nodes import shorten
from reconciler.formats.stored import Form
from reconciler.formats.yamls import Pointer
from reconciler.model.outcome import Level

ENCRYPTED = "encrypted-file"


def findings(subject: Subject) -> Iterator[Finding]:
    """Such a file that is mounted or built, and a folder whose content is not in git. If the whole repository is
    mounted, it is only a warning, because hardly all of it is needed."""
    for use in uses(subject):
        if use.built and use.pointer[-1] != "dockerfile":
            continue
        if subject.commit.is_file(use.path):
            form = subject.commit.form(use.path)
            found = [(use.path, form)] if form is not None else []
        else:
            found = subject.commit.lost(use.path)
        yield from _finding(subject, use.service, use.pointer, use.path, found)
    for service in subject.services():
        yield from _built(service, service.model.get("build") or {})


def _finding(
    subject: Subject, service: str | None, pointer: Pointer, path: str, found: Sequence[tuple[str, Form]]
) -> Iterator[Finding]:
    if not found:
        return
    name, form = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    level = Level.WARN if path == "." and pointer[-1] != "context" else None
    rule = LOST if form.lost else ENCRYPTED
    what = f"{shorten(name)} is {form.what}{more}"
    yield Finding(subject.stack, rule, pointer, what, service, level, value=path, hint=form.hint)


def _built(service: ServiceSubject, build: Json) -> Iterator[Finding]:
    """The files of a context that its Dockerfile copies and .dockerignore does not exclude."""
    subject, commit = service.of, service.of.commit
    top: Pointer = ("services", service.name, "build")
    for key, place in (build.get("additional_contexts") or {}).items():
        path = inside(str(place), subject.root) if str(place).startswith("/") else None
        if path is not None and commit.has(path):
            pointer = (*top, "additional_contexts", key)
            yield from _finding(subject, service.name, pointer, path, commit.lost(path))
    context = str(build.get("context") or "")
    path = inside(context, subject.root) if context.startswith("/") else None
    if path is None or not commit.has(path):
        return
    found = commit.lost(path)
    if found:
        text, ignored = _dockerfile(subject, build, path)
        sources = list(dockerfile.copied(text))
        start = 0 if path == "." else len(path) + 1
        reached = [
            (name, form)
            for name, form in found
            if any(fits(source, name[start:], above=True) for source in sources) and not ignored.excludes(name[start:])
        ]
        yield from _finding(subject, service.name, (*top, "context"), path, reached)


def _dockerfile(subject: Subject, build: Json, context: str) -> tuple[str, DockerIgnore]:
    """The Dockerfile's text, and the ignored paths: from its own ignore file, else from the context's."""
    commit = subject.commit
    named = posixpath.normpath(posixpath.join(context, str(build.get("dockerfile") or "Dockerfile")))
    inline = build.get("dockerfile_inline")
    text = str(inline) if inline else commit.text(named) if commit.is_file(named) else ""
    ignores = ([] if inline else [f"{named}.dockerignore"]) + [posixpath.normpath(f"{context}/.dockerignore")]
    return text, DockerIgnore(next((commit.text(name) for name in ignores if commit.is_file(name)), ""))
