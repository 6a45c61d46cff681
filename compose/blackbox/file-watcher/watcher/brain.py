"""The client of brain-api. A request succeeds or raises one of three errors."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from watcher.reading import part_path

KIND = "file"
TAG = "file-watcher"
"""The tag of every artifact that this program makes. Only artifacts with this tag are compared with the files."""

Artifact = Mapping[str, Any]


class Unavailable(Exception):
    """No answer, or the answer is to try later. `after`: seconds to wait at least, if brain-api says so; else 0."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class Denied(Unavailable):
    """The key is wrong or may not write. A person has to correct it."""


class Refused(Exception):
    """brain-api refuses this content. Trying again does not help."""


def artifacts(path: str, parts: Sequence[str], digest: str) -> list[Artifact]:
    """The artifacts of one file, one per part. `digest`: the digest of the whole file."""
    return [
        {
            "path": part_path(path, number),
            "kind": KIND,
            "title": path[-480:] if number == 0 else f"{path[-480:]} ({number + 1})",
            "content": text,
            "tags": [TAG],
            "metadata": {"file": path, "part": number + 1, "parts": len(parts), "digest": digest},
        }
        for number, text in enumerate(parts)
    ]


class Brain:
    """`timeout`: seconds without data after which a request fails."""

    def __init__(self, url: str, key: str, timeout: float = 120.0) -> None:
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout = timeout

    def ingest(self, items: Sequence[Artifact]) -> None:
        """Send at most 100 artifacts. All of them are stored, or none."""
        self._ask("POST", "/api/v1/artifacts/batch", {"artifacts": list(items)})

    def delete(self, path: str) -> None:
        """Delete the artifact with this path. It is no error if there is none."""
        self._ask("DELETE", "/api/v1/artifacts?" + urlencode({"path": path}))

    def made(self) -> Iterator[tuple[str, int, str]]:
        """File, number of the part (from 0) and digest of the file, for each artifact that this program made.

        An artifact whose path or metadata somebody else has changed so that they do not fit any more is left out.
        """
        query: dict[str, Any] = {"kind": KIND, "tag": TAG, "limit": 200}
        while True:
            page = self._ask("GET", "/api/v1/artifacts?" + urlencode(query))
            for item in page["artifacts"]:
                told = item["metadata"]
                file, part, digest = told.get("file"), told.get("part"), told.get("digest")
                if isinstance(part, int) and part > 0 and item["path"] == part_path(str(file), part - 1):
                    yield str(file), part - 1, str(digest)
            if not page["next"]:
                return
            query["cursor"] = page["next"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = self._connection()
        try:
            payload = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            connection.request(method, self._url.path + path, payload, self._headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"brain-api does not answer: {type(error).__name__} {error}") from error
        finally:
            connection.close()
        if answer.status in (200, 201, 204):
            return _document(text)
        raise _error(answer, f"brain-api answers {answer.status}: {text[:500]}")

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(self._url.hostname or "", self._url.port, timeout=self._timeout)


def _document(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise Unavailable("brain-api does not answer with JSON") from error


def _error(answer: http.client.HTTPResponse, message: str) -> Exception:
    if answer.status in (401, 403):
        return Denied(message)
    if answer.status in (400, 409, 413, 422):
        return Refused(message)
    after = answer.getheader("Retry-After") or ""
    return Unavailable(message, float(after) if after.isdecimal() else 0.0)
