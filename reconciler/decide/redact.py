"""All output passes here: secrets are masked, and control characters are removed, so that no text controls a terminal
or forges a line.

Known values are masked in the forms in which programs print them (raw, URL-encoded, base64, hexadecimal,
JSON-escaped), unknown ones by the patterns of credentials, tokens and private keys.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""Characters. Shorter values ("1", "yes") are not masked: they are too common."""

_NUMBER = re.compile(r'(parsing )"((?:[^"\\]|\\.)+)"')
"""How Go quotes a value that is no number, without the unit."""

_WORD = re.compile(r"\w{6,}")
_LONG_WORD = 12
"""Characters from which on a word without a digit counts as a part of a secret, not as an ordinary word."""

KEPT, LONG = 2048, 200
"""Maximum number of cached cleaned texts, and of characters in each."""

WHOLE = 2048
"""Longest form that is searched as a whole, in characters. Longer ones are searched in blocks, which need no compiling:
16 KiB of random bytes took 11 s and 300 MB."""

BLOCK = 64
"""Characters. If a long form is printed in part, less than a block may remain at either end."""

GRAM, STRIDE, GRAMS = 16, 49, 1 << 18
"""Characters of a piece, characters from one piece to the next, and bytes of a table that says by their hashes which
pieces are in no block. Because STRIDE is BLOCK - GRAM + 1, each block in a text contains one of the pieces."""

MOST = 1 << 15
"""Characters, or bytes, at the beginning of a secret that are masked: random bytes of this size take 0.4 s and 16 MB.
"""

_SHORTEST_LINE = 8
"""Characters from which on a line of a secret with several lines is masked by itself, because logs print single lines.
"""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])")
_CUT = re.compile(r"…|\.\.\.")
"""Places at which we or the engine have cut a long text."""

_LINE_ENDS = re.compile(r"\r\n?|[\x85\u2028\u2029]")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff]"
)

_PATTERNS = tuple(
    (needles.split(), re.compile(pattern), replacement)
    for needles, pattern, replacement in (
        (
            "-----begin",
            r"(?s)-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)",
            "*** private key ***",
        ),
        ("://", r"(://[^\s:/@\"'<>]*:)[^\s/\"'<>]*@", rf"\1{MASK}@"),
        ("://", r"(://)[^\s:/@\"'<>]{16,}@", rf"\1{MASK}@"),
        ("author", r"(?i)\b(authorization: *(?:basic|bearer|token) +)[^\s\"']+", rf"\1{MASK}"),
        (
            "password= passwd= phrase= secret= token= key=",
            r"(?i)((?:password|passwd|passphrase|secret|token|api_?key|private_?key|access_?key)=)"
            r"(?!…(?:[\s&\"';,]|\Z))[^\s&\"';,]+",
            rf"\1{MASK}",
        ),
        ("gho_ ghp_ ghs_ ghu_ ghr_ github_pat_", r"\bgh[opsur]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}", MASK),
        (
            "glpat- gldt- glrt- glptt- glcbt- glft- glsoat- glagent-",
            r"\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|agent)-[\w-]{16,}",
            MASK,
        ),
        ("xox", r"\bxox[abeoprs]-[\w-]{10,}", MASK),
        ("akia asia", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK),
        ("aiza", r"\bAIza[\w-]{35}", MASK),
        (
            "k- k_",
            r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)[-_][\w-]{10,}|\bsk-[A-Za-z0-9]{20,}",
            MASK,
        ),
        (
            "npm dop_v1 dckr_ hf_ hf- pypi",
            r"\b(?:npm|dop_v1|dckr_pat|dckr_oat|hf|pypi)[_-][\w-]{20,}",
            MASK,
        ),
        ("eyj", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*", MASK),
    )
)
"""Each entry: words in small letters, a pattern, and the replacement of a match. Every match contains at least one of
the words. Few lines of a log contain any, and looking for the words takes a tenth of the pattern's time."""


class Redactor:
    """Knows the secrets of this host.

    Register values as soon as they are read; clean whatever is printed or kept. `known`: a number that changes
    whenever other texts are masked than before.
    """

    def __init__(self, values: Iterable[str | bytes] = ()) -> None:
        self.known = 0
        self._forms: set[str] = set()
        self._spared: frozenset[str] = frozenset()
        self._masked: Sequence[str] = ()
        self._blocks: set[str] = set()
        self._grams = bytearray()
        self._known: re.Pattern[str] | None = None
        self._cleaned: dict[tuple[str, bool], str] = {}
        self.register(values)

    def register(self, values: Iterable[str | bytes]) -> None:
        """Mask these from now on. Values with fewer than SHORTEST characters are ignored. Bytes that are no UTF-8 are
        masked in their printed forms, too.
        """
        found = {form for value in values for form in _forms(value)}
        blocks = {block for form in found if len(form) > WHOLE for block in _blocks(form)} - self._blocks
        if blocks:
            self._grams = self._grams or bytearray(GRAMS)
            for block in blocks:
                for at in range(STRIDE):
                    self._grams[hash(block[at : at + GRAM]) % GRAMS] = 1
            self._blocks |= blocks
            self._change()
        fresh = {form for form in found if len(form) <= WHOLE} - self._forms
        if fresh:
            self._forms |= fresh
            self._compile()

    def spare(self, names: Iterable[str]) -> None:
        """Names of services. A secret that is only such a name (`REDIS_HOST=redis`), perhaps with a line end, is not
        masked, because no output could name the service then. A commit names its services where everybody reads it."""
        new = frozenset(names) - self._spared
        if new:
            self._spared |= new
            if any(form.strip() in new for form in self._masked):
                self._compile()

    def _compile(self) -> None:
        # `_forms` only grows, and all else is replaced as a whole: another thread may be registering or cleaning.
        forms = (form for form in self._forms.copy() if form.strip() not in self._spared)
        self._masked = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, self._masked))) if self._masked else None
        self._change()

    def _change(self) -> None:
        self.known += 1
        self._cleaned = {}  # a new dict: another thread may be about to add a text that was cleaned before

    def clean(self, text: str, multiline: bool = False) -> str:
        """The text without secrets, and without characters that steer a terminal or are invisible.

        Line ends become blanks, so that one text stays one line; with `multiline` they and tabs are kept.
        """
        if len(text) > LONG:
            return self._clean(text, multiline)
        # The same document is published again and again, and most of its texts do not change.
        known = self._cleaned
        if len(known) >= KEPT:
            known.clear()
        found = known.get((text, multiline))
        if found is None:
            found = known[text, multiline] = self._clean(text, multiline)
        return found

    def clean_lines(self, lines: Sequence[str]) -> Sequence[str]:
        """Each line as `clean` returns it. Takes less time than one call for each, if there is nothing to mask in most
        of them."""
        plain = "\n".join(line for line in lines if line.isprintable())
        if self._mask(plain) != plain:
            return [self._clean(line, False) for line in lines]
        # No pattern needs the end of a text, so what is not found in all lines together is not found in one of them.
        return [line if line.isprintable() else self._clean(line, False) for line in lines]

    def _clean(self, text: str, multiline: bool) -> str:
        # Masked before and after the cleaning: a secret may contain such characters, and they may split a secret.
        masked = self._mask(text)
        clean = masked if masked.isprintable() else tidy(masked, multiline)
        return text if clean == text else self._mask(clean)

    def _mask(self, text: str) -> str:
        if self._known is not None:
            text = self._mask_beginnings(self._known.sub(MASK, text))
        if self._blocks and self._has_block(text):
            text = self._mask_blocks(text)
        folded = text.casefold()
        for needles, pattern, replacement in _PATTERNS:
            for needle in needles:
                if needle in folded:
                    text = pattern.sub(replacement, text)
                    break
        return text

    def _has_block(self, text: str) -> bool:
        for at in range(0, len(text) - GRAM + 1, STRIDE):
            if self._grams[hash(text[at : at + GRAM]) % GRAMS]:
                starts = range(max(0, at - STRIDE + 1), at + 1)
                if any(text[start : start + BLOCK] in self._blocks for start in starts):
                    return True
        return False

    def _mask_blocks(self, text: str) -> str:
        parts, kept, at = [], 0, 0
        while at + BLOCK <= len(text):
            if text[at : at + BLOCK] not in self._blocks:
                at += 1
                continue
            end, seen = at + BLOCK, at + 1
            while seen <= end:  # blocks follow each other; the last one of a form begins in the one before
                if text[seen : seen + BLOCK] in self._blocks:
                    end = seen + BLOCK
                seen += 1
            parts.append(text[kept:at] + MASK)
            kept = at = end
        return "".join(parts) + text[kept:]

    def _mask_beginnings(self, text: str) -> str:
        if "…" not in text and "..." not in text:  # three times as fast as the pattern
            return text
        for cut in reversed(list(_CUT.finditer(text))):
            end = cut.start()
            start = min((_beginning(form, text, end) for form in self._masked), default=end)
            if start < end:
                text = text[:start] + MASK + text[end:]
        return text


def without_parts(text: str, secrets: Collection[str]) -> str:
    """Mask parts of secrets: programs take values apart and quote the wrong part."""
    if not secrets:
        return text
    quoted = [json.dumps(secret, ensure_ascii=False) for secret in secrets]

    def number(found: re.Match[str]) -> str:
        return f'{found[1]}"{MASK}"' if any(found[2] in secret for secret in quoted) else found[0]

    def judged(found: re.Match[str]) -> str:
        word = found[0]
        random = len(word) >= _LONG_WORD or any(letter.isdigit() for letter in word)
        return MASK if random and any(word in secret for secret in secrets) else word

    return _WORD.sub(judged, _NUMBER.sub(number, text))


def _beginning(form: str, text: str, end: int) -> int:
    """The place where a secret begins that the cut at `end` has shortened; `end` if there is none."""
    start = text.find(form[:SHORTEST], max(0, end - len(form)), end)
    while 0 <= start <= end - SHORTEST:
        if form.startswith(text[start:end]):
            return start
        start = text.find(form[:SHORTEST], start + 1, end)
    return end


def tidy(text: str, multiline: bool) -> str:
    """The text without control characters, and without characters that cannot be seen."""
    text = _LINE_ENDS.sub("\n", _ANSI.sub("", text))
    if not multiline:
        text = text.replace("\n", " ").replace("\t", " ")
    return _UNSEEN.sub("\ufffd", text)


def _forms(value: str | bytes) -> Iterator[str]:
    """The forms in which a program may print a secret."""
    is_text = True
    if isinstance(value, bytes):
        data, value = value, value.decode(errors="replace")
        is_text = value.encode() == data
        if not is_text:
            yield from (form for form in _binary(data[:MOST]) if len(form.strip()) >= SHORTEST)
    value = value[:MOST]
    lines = {line for line in value.splitlines() if len(line.strip()) >= _SHORTEST_LINE} if is_text else set()
    if len(value) > WHOLE:
        yield from lines
        lines = set()
    for piece in {value, value.strip(), *lines}:
        for form in _encodings(piece):
            if len(form.strip()) >= SHORTEST:
                yield form


def _blocks(form: str) -> Iterator[str]:
    yield from (form[at : at + BLOCK] for at in range(0, len(form) - BLOCK, BLOCK))
    yield form[-BLOCK:]


def _binary(value: bytes) -> Iterator[str]:
    """Forms of bytes that are no UTF-8, with and without the newline at their end."""
    for data in (value, value.removesuffix(b"\n")):
        escaped = (data.decode(errors=how) for how in ("surrogateescape", "backslashreplace"))
        for text in (data.decode("latin-1"), *escaped):
            yield from (text, tidy(text, multiline=True), tidy(text, multiline=False), json.dumps(text)[1:-1])
        yield repr(data)[2:-1]
        for encoded in (quote(data, safe=""), quote(data), quote_plus(data), data.hex()):
            yield from (encoded, encoded.lower(), encoded.upper())
        yield from _base64(data)


def _encodings(value: str) -> Iterator[str]:
    if len(value) < SHORTEST:
        return
    yield from (value, tidy(value, multiline=True), tidy(value, multiline=False))
    for encoded in (
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        quote_plus(value, errors="replace"),
    ):
        yield from (encoded, re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded))
    for written in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (written, re.sub("[&<>]", lambda found: f"\\u{ord(found[0]):04x}", written))  # as Go does
    yield value.replace("\\", "\\\\").replace("'", "\\'")  # between single quotes
    yield from (value.replace("'", "'\\''"), value.replace("'", "'\"'\"'"))  # as shells do
    data = value.encode(errors="replace")
    yield data.hex()
    yield from _base64(data)


def _base64(data: bytes) -> Iterator[str]:
    """Also inside a longer text ("user:secret"): the characters that do not depend on neighbours, at each of the three
    offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        first = (0, 2, 3)[offset]
        last = (offset + len(data)) * 8 // 6
        inner = encoded[first:last].decode()
        if len(inner) >= SHORTEST + 1:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
