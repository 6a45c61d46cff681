"""Canary secrets, and finding them in the output of a program."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Mapping

PLAIN = {
    "LINE": "b7Kq2xVt9mWz",
    "OWN": "Hd4sPw8RyLc1",
    "LONG": "Zk3v-Bt7n-" + "Qn8t-5Xy1-Rb6J-f2Lw-9Pd7-Hs4M-g0Tc-" * 7,
    "QUOTED": "Vf6g \"Jx2d\" \\ $Tn9s & <Ck5r> 'Wq7h'",
    "LINES": "Rm3z8Kd5Yp1v\nXt6b4Ws9Gq2c",
    "PARTS": "Kd8wPz:Zt5q3Rv7/Lb2x9Ns4-Gm6cTr1=Yh1pWe9,Fj8dBn3@Xs2kQl7",
    "NUMBER": "48151623",
}
"""In secrets_dir: LINE in `<stack>.env`, the others in files of their own."""

AGENT = {"AGENT_TOKEN": "Ny7c3Bf8Kz2g", "DOCKER_PASSWORD": "Uj5w9Ls4Pt6x"}
"""In the environment of the agent."""

WINDOW = 7
"""Characters of a secret that may not appear in a row."""


def spellings(value: str) -> set[str]:
    """Texts that must not appear: the value in its usual forms, and every part of it that reveals much of it."""
    return {
        value, json.dumps(value)[1:-1], urllib.parse.quote(value), urllib.parse.quote_plus(value),
        base64.b64encode(value.encode()).decode(), value.encode().hex(),
        *(value[start : start + WINDOW] for start in range(len(value) - WINDOW + 1)),
    }  # fmt: skip


def leaks(told: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    return [
        f"{name} in {place}: {text[max(0, text.find(spelled) - 60) : text.find(spelled) + 60]!r}"
        for name, value in secrets.items()
        for spelled in sorted(spellings(value))
        for place, text in told.items()
        if spelled in text
    ]
