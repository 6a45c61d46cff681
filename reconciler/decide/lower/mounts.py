"""Mounts of a service: files of the commit, data folders, granted paths of the host, configs and secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.decide.mounts.canonical import file_target
from reconciler.decide.mounts.digests import content_digest, digest, tree_digest
from reconciler.decide.mounts.mount_paths import host_path
from reconciler.decide.mounts.mountpoints import mountpoints
from reconciler.decide.mounts.sources import Json, Places, Source, inside
from reconciler.formats.engine_read import folder_of
from reconciler.model.desired import Tree
from reconciler.model.files import Files, below, has_content


class Mounts:
    """The mounts of one stack. `trees` collects those of the commit that the mounts need."""

    def __init__(self, source: Source, files: Files, places: Places) -> None:
        self.source, self.files, self.places = source, files, places
        self.name = source.document.name
        self.trees: list[Tree] = []

    def of(self, service: str, model: Json) -> list[dict[str, Any]]:
        """All mounts of a service in the form of Compose's long syntax."""
        return [*self._mounts(service, model), *self._files_of("configs", model), *self._files_of("secrets", model)]

    def _mounts(self, service: str, model: Json) -> Iterable[dict[str, Any]]:
        volumes = self.source.model.get("volumes") or {}
        for mount in model.get("volumes") or ():
            if mount["type"] == "bind":
                yield self._bind(mount, service, model)
            elif mount["type"] == "volume" and mount.get("source"):
                yield {**mount, "source": volumes[mount["source"]]["name"]}
            else:
                yield dict(mount)

    def _bind(self, mount: Json, service: str, model: Json) -> dict[str, Any]:
        path = inside(mount["source"], self.source.root)
        options = {k: v for k, v in (mount.get("bind") or {}).items() if k != "create_host_path"}
        bind = {**mount, "bind": {**options, "create_host_path": False}}
        reads = folder_of(path) if path.startswith("/") else None
        if reads is not None:
            return {**bind, "source": f"{self.places.engine}/{reads}"}
        if path.startswith("/"):
            return {**bind, "source": host_path(path, self.places.binds, self.name, service)}
        if has_content(self.files, path):
            tree = self._tree(self._folder(path, mount["target"], model))
            return {**bind, "source": f"{self.places.trees}/{tree.digest}", "read_only": True}
        return {**bind, "source": f"{self.places.data}/{self.name}/{path}"}

    def _folder(self, path: str, target: str, model: Json) -> Tree:
        """A file or folder of the commit, with the places at which the service mounts something else in it."""
        plain = tree_digest(self.files, path)
        places = mountpoints(target, below(self.files, path), self._mounted(model))
        if path in self.files.entries or not places:
            return Tree(plain, path=path)
        empty_folders = tuple(place for place, is_file in places.items() if not is_file)
        empty_files = tuple(place for place, is_file in places.items() if is_file)
        key = digest([plain, empty_folders, empty_files])
        return Tree(key, path=path, empty_folders=empty_folders, empty_files=empty_files)

    def _mounted(self, model: Json) -> dict[str, bool]:
        """Each mount target of a service → whether it is a file, as far as the commit tells."""
        mounted = {str(item).partition(":")[0]: False for item in model.get("tmpfs") or ()}
        for mount in model.get("volumes") or ():
            is_bind = mount["type"] == "bind"
            mounted[mount["target"]] = is_bind and inside(mount["source"], self.source.root) in self.files.entries
        for kind in ("configs", "secrets"):
            mounted |= {file_target(kind, use): True for use in model.get(kind) or ()}
        return mounted

    def _files_of(self, kind: str, model: Json) -> Iterable[dict[str, Any]]:
        """Configs and secrets, from any source, as read-only binds."""
        definitions = self.source.model.get(kind) or {}
        for use in model.get(kind) or ():
            yield {
                "type": "bind",
                "source": self._file(definitions[use["source"]]),
                "target": file_target(kind, use),
                "read_only": True,
                "bind": {"create_host_path": False},
            }

    def _file(self, definition: Json) -> str:
        if definition.get("file"):
            path = inside(definition["file"], self.source.root)
            return f"{self.places.trees}/{self._tree(Tree(tree_digest(self.files, path), path=path)).digest}"
        variable = definition.get("environment")
        if variable is not None and variable in self.source.secrets:
            return self._secret(self.source.secrets[variable], secret=variable)
        text = (definition.get("content") if variable is None else self.source.variables.get(variable)) or ""
        if self.source.conceals(text):
            return self._secret(text.encode(), content=text)
        tree = self._tree(Tree(content_digest(text.encode()), content=text))
        return f"{self.places.trees}/{tree.digest}"

    def _secret(self, data: bytes, *, secret: str | None = None, content: str | None = None) -> str:
        name = self.places.seal(content_digest(data))
        self._tree(Tree(name, secret=secret, content=content, stack=self.name))
        return f"{self.places.secrets}/.mounts/{name}"

    def _tree(self, tree: Tree) -> Tree:
        self.trees.append(tree)
        return tree
