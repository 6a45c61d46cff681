"""No output contains secrets, or characters that steer a terminal."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.decide.redact import BLOCK, MASK, SHORTEST, Redactor, without_parts

CANARY = 'cAn4ry/+ "qu\\ote" ü&='

FORMS = {
    "raw": CANARY,
    "url": quote(CANARY, safe=""),
    "url in lower case": re.sub("%..", lambda found: found[0].lower(), quote(CANARY, safe="")),
    "path": quote(CANARY),
    "form": quote_plus(CANARY),
    "json": json.dumps(CANARY)[1:-1],
    "json utf-8": json.dumps(CANARY, ensure_ascii=False)[1:-1],
    "hexadecimal": CANARY.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_of_a_known_secret_is_masked(form: str) -> None:
    assert Redactor([CANARY]).clean(f"before {form} after") == f"before {MASK} after"


@pytest.mark.parametrize("prefix", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_masked_wherever_the_secret_begins(prefix: str, encode: object) -> None:
    encoded = encode(f"{prefix}{CANARY}:tail".encode()).decode()  # type: ignore[operator]
    cleaned = Redactor([CANARY]).clean(encoded)
    assert MASK in cleaned
    left = max(cleaned.split(MASK), key=len)
    assert CANARY[:4].encode() not in base64.b64decode(left + "=" * (-len(left) % 4), altchars=b"-_")


def test_the_longer_of_two_secrets_wins() -> None:
    assert Redactor(["hunter", "hunter2000"]).clean("hunter2000 hunter") == f"{MASK} {MASK}"


def test_values_too_short_to_be_secret_are_left_alone() -> None:
    assert Redactor(["1", "yes", "", "   "]).clean("1 yes   no") == "1 yes   no"


def test_a_value_with_a_line_end_is_masked_without_it_too() -> None:
    assert Redactor(["hunter2\n"]).clean("password is hunter2, sir") == f"password is {MASK}, sir"


@pytest.mark.parametrize("form", [b"hunter2\n", b"hunter2"])
def test_bytes_are_masked_with_and_without_a_line_end(form: bytes) -> None:
    redactor = Redactor([form])
    for text in ("hunter2", "hunter2\n", form.hex(), base64.b64encode(form).decode().rstrip("=")):
        assert "hunter2" not in redactor.clean(f"is {text}, sir", multiline=True)
        assert form.hex() not in redactor.clean(f"is {text}, sir")


BINARY = b"ab\xff\xfe\0cd\x80yz\n"


@pytest.mark.parametrize("data", [BINARY, BINARY[:-1]])
@pytest.mark.parametrize(
    "show",
    [
        lambda data: data.decode(errors="replace"),
        lambda data: data.decode("latin-1"),
        lambda data: data.decode(errors="surrogateescape"),
        lambda data: data.decode(errors="backslashreplace"),
        lambda data: repr(data)[2:-1],
        lambda data: json.dumps(data.decode("latin-1"))[1:-1],
        lambda data: json.dumps(data.decode(errors="replace"), ensure_ascii=False)[1:-1],
        lambda data: quote(data, safe=""),
        lambda data: data.hex(),
        lambda data: data.hex().upper(),
        lambda data: base64.b64encode(data).decode().rstrip("="),
    ],
)
def test_bytes_that_are_no_text_are_masked_as_they_are_printed(data: bytes, show: Callable[[bytes], str]) -> None:
    cleaned = Redactor([BINARY]).clean(f"before {show(data)} after", multiline=True)
    assert cleaned.startswith(f"before {MASK}")
    assert len(cleaned) <= len(f"before {MASK}xx after")


LONG = {
    "text": "\n".join(f"line {n} of a kubeconfig: {n * 7919:x}" for n in range(400)).encode() + b"\n",
    "one line": bytes(97 + n * n % 25 for n in range(9_000)),
    "binary": bytes(n * n % 251 for n in range(20_000)),
}


@pytest.mark.parametrize("data", LONG.values(), ids=LONG)
def test_a_long_secret_is_masked_in_pieces(data: bytes) -> None:
    """Whole, from its beginning, and from its middle except the ends of the piece."""
    redactor = Redactor([data])
    for shown in (data.decode(errors="replace"), data.hex(), base64.b64encode(data).decode().rstrip("=")):
        cleaned = redactor.clean(f"before {shown} after", multiline=True)
        assert cleaned.startswith("before ***")
        assert cleaned.endswith("after")
        assert len(cleaned) < BLOCK + 20 + cleaned.count("\n") * 4
        part = redactor.clean(shown[1000:2000], multiline=True)
        assert len(part.replace(MASK, "").replace("\n", "")) < 2 * BLOCK
    assert redactor.clean("nothing of it " * 100) == "nothing of it " * 100


def test_a_line_of_a_long_text_is_masked_alone() -> None:
    assert Redactor([LONG["text"]]).clean(f"log: line 7 of a kubeconfig: {7 * 7919:x}, sir") == f"log: {MASK}, sir"


@pytest.mark.parametrize("data", [bytes(n * n * n % 256 for n in range(1 << 20)), b"x" * (1 << 20)])
def test_the_largest_secret_costs_little(data: bytes) -> None:
    begun = time.process_time()
    redactor = Redactor([data])
    redactor.clean("a text " * 1000)
    assert time.process_time() - begun < 10


def test_each_line_of_a_long_secret_is_masked_alone() -> None:
    secret = "first-line-of-it\nsecond-line-of-it\nend"
    assert Redactor([secret]).clean("log: second-line-of-it\nend", multiline=True) == f"log: {MASK}\nend"
    assert Redactor([secret]).clean(secret, multiline=True) == MASK


def test_registering_later_adds() -> None:
    redactor = Redactor(["first-secret"])
    redactor.register(["second-secret"])
    assert redactor.clean("first-secret second-secret") == f"{MASK} {MASK}"


def test_a_secret_that_is_only_the_name_of_a_service_is_not_masked() -> None:
    redactor = Redactor(["redis-main", "hunter2000"])
    before = redactor.known, redactor.clean("redis-main")
    redactor.spare(["redis-main", "web"])
    redactor.register(["redis-main", "redis-main-hunter"])
    assert redactor.known != before[0]
    assert (before[1], redactor.clean("shop/redis-main")) == (MASK, "shop/redis-main")
    assert redactor.clean("hunter2000 redis-main-hunter") == f"{MASK} {MASK}"
    redactor.spare(["hunter2000", "redis-main-hunter"])
    assert redactor.clean("web hunter2000 is…") == "web hunter2000 is…"


@pytest.mark.parametrize("value", ["redis-main\n", "redis-main\r\n", b"redis-main\n"])
def test_neither_does_its_line_end_mask_the_name_of_a_service(value: str | bytes) -> None:
    redactor = Redactor([value, "hunter2000\n"])
    redactor.spare(["redis-main"])
    text = "shop/redis-main is up: redis-main\nand hunter2000 is\n"
    assert redactor.clean(text, multiline=True) == text.replace("hunter2000 ", MASK)


def test_a_secret_split_by_control_characters_is_masked() -> None:
    assert Redactor(["hunter2000"]).clean("hunt\x1b[1mer2\x1b[0m000") == MASK


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://user:pass@host/x", "https://user:***@host/x"),
        ("https://user:p@ss@host/x", "https://user:***@host/x"),
        ("https://:pass@host", "https://:***@host"),
        ("https://abcdefghij0123456789@host/x", "https://***@host/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("git@host:x.git", "git@host:x.git"),
        ("http://host:8080/users/@me", "http://host:8080/users/@me"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("POSTGRES_PASSWORD=hunter2 next", "POSTGRES_PASSWORD=*** next"),
        ("/?api_key=abc&x=1", "/?api_key=***&x=1"),
        ("see ghp_0123456789abcdefABCD.", "see ***."),
        ("github_pat_0123456789_abcdefABCDEF", "***"),
        ("glpat-0123456789abcdef_-", "***"),
        ("xoxb-0123456789-abc", "***"),
        ("AKIA0123456789ABCDEF", "***"),
        ("sk_live_0123456789abcdef", "***"),
        ("dckr_pat_0123456789abcdefABCDEF", "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_x", "***"),
        ("password: see docs/secrets.md", "password: see docs/secrets.md"),
        ("sha256:0123456789abcdef", "sha256:0123456789abcdef"),
    ],
)
def test_unknown_credentials_are_masked_by_their_pattern(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


@pytest.mark.parametrize("end", ["\n-----END RSA PRIVATE KEY-----\nafter", "\ntorn off"])
def test_private_keys_are_masked_even_when_torn(end: str) -> None:
    text = "key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef" + end
    cleaned = Redactor().clean(text, multiline=True)
    assert cleaned == "key:\n*** private key ***" + ("\nafter" if "END" in end else "")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://e\x1b\\link", "xlink"),
        ("bell\x07 null\x00 del\x7f", "bell\ufffd null\ufffd del\ufffd"),
        ("csi \x9b31m", "csi \ufffd31m"),
        ("right-to-left \u202eexe.txt", "right-to-left \ufffdexe.txt"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("two\r\nlines\rthree\u2028four\tfive", "two lines three four five"),
        ("Grüße – 日本 👩\u200d🚀", "Grüße – 日本 👩\u200d🚀"),
    ],
)
def test_nothing_steers_a_terminal(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


@example(["user:pw@host", "://u:pw@x", "://", "u:p@x"])
@example(["password=", "canary-secret", "x…", "canary-s..."])
@example(["-----BEGIN RSA PRIVATE KEY-----", "MIIE", "-----END RSA PRIVATE KEY-----"])
@example(["\x1b[31mred\x1b[0m", "a\tb", "canary-\x00secret", "eyJhbGciOi.eyJzdWIiOi.x"])
@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from(["canary-secret", "token=abc", "a://b:c@d", "..."]))))
def test_lines_that_are_cleaned_together_are_cleaned_as_each_alone(lines: list[str]) -> None:
    redactor = Redactor(["canary-secret", "two\nlines of it", "0123456789" * 300])
    lines = [line.replace("\n", "") for line in lines]
    assert list(redactor.clean_lines(lines)) == [redactor.clean(line) for line in lines]


@given(st.text(alphabet="abc", max_size=200), st.integers(0, 1000), st.integers(BLOCK, 300), st.text(max_size=99))
def test_a_block_of_a_long_secret_is_found_wherever_it_begins(before: str, at: int, size: int, after: str) -> None:
    secret = "".join(f"{n:04x}" for n in range(700))
    at -= at % BLOCK
    cleaned = Redactor([secret]).clean_lines([f"{before}{secret[at : at + size]}{after}"])[0]
    assert secret[at : at + BLOCK] not in cleaned
    assert MASK in cleaned


def test_lines_and_tabs_stay_where_several_lines_are_wanted() -> None:
    assert Redactor().clean("a\tb\r\nc\rd", multiline=True) == "a\tb\nc\nd"


SECRETS = st.text(min_size=SHORTEST, max_size=40).filter(
    lambda text: len(text.strip()) >= SHORTEST and not set(text) <= set("* privatekey\ufffd")
)


@given(secret=SECRETS, before=st.text(max_size=20), after=st.text(max_size=20), multiline=st.booleans())
@example(secret="://a:b@c", before="", after="", multiline=False)
@example(secret="\x1b[0m\x1b[0m", before="", after="", multiline=True)
def test_no_known_secret_survives(secret: str, before: str, after: str, multiline: bool) -> None:
    cleaned = Redactor([secret]).clean(before + secret + after, multiline)
    assert secret not in cleaned.replace(MASK, "\0")
    assert json.dumps(secret)[1:-1] not in cleaned.replace(MASK, "\0")


@given(st.text())
def test_one_text_stays_one_line_that_can_be_printed(text: str) -> None:
    cleaned = Redactor().clean(text)
    assert len(cleaned.splitlines()) <= 1
    cleaned.encode("utf-8")


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 500_000,
        "://" * 100_000,
        "://a:" * 100_000,
        "eyJ" * 100_000,
        "-----BEGIN PRIVATE KEY-----" * 10_000,
        "\x1b]" * 100_000,
        "\x1bP" * 100_000,
        "password=" * 50_000,
        "ghp_" * 100_000,
        "authorization: " * 30_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_hostile_texts_take_no_longer_than_others(hostile: str) -> None:
    start = time.process_time()
    Redactor(["some-secret"]).clean(hostile, multiline=True)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("cut", ["…", "...", "…' is not there", '…"'])
@pytest.mark.parametrize("kept", [4, 7, 9])
def test_the_beginning_of_a_secret_that_a_cut_has_left_is_masked(cut: str, kept: int) -> None:
    assert Redactor(["hunter2000"]).clean(f"file hunter{'hunter2000'[:kept]}{cut}") == f"file hunter{MASK}{cut}"
    assert Redactor(["hunter2000"]).clean("hun…, hint…") == "hun…, hint…"


def test_how_go_and_shells_quote_is_masked() -> None:
    redactor = Redactor(["a<b>&'c'"])
    for said in (r"a\u003cb\u003e\u0026'c'", r"a<b>&'\''c'\''", """a<b>&'"'"'c'"'"'"""):
        assert redactor.clean(f"say {said} now") == f"say {MASK} now"


def test_parts_of_secrets_are_masked_where_it_is_known_whose_they_are() -> None:
    secrets = ["postgres://web:Kd8wPz:Zt5q3Rv7@postgres/db", 'a "b" cd']
    told = 'image postgres: invalid port "Zt5q3Rv7": parsing "a \\"b\\" c", parsing "7x"'
    assert without_parts(told, secrets) == f'image postgres: invalid port "{MASK}": parsing "{MASK}", parsing "7x"'
    assert without_parts(told, []) == told


def test_the_dots_of_a_hint_are_no_secret() -> None:
    clean = Redactor(["hunter22"]).clean

    assert clean("Write DB_PASSWORD=… into shop.env") == "Write DB_PASSWORD=… into shop.env"
    assert clean("TOKEN=…") == "TOKEN=…"
    assert clean("TOKEN=…x and TOKEN=x…") == "TOKEN=*** and TOKEN=***"
