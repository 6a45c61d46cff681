"""The dashboards fit the types that Grafana publishes (npm: @grafana/schema)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.stack.monitoring import STACK

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

PACKAGES = ("@grafana/schema@13.2.3", "typescript@5.9.3")
KINDS = {
    "timeseries": ("timeseries", "TimeSeries"), "stat": ("stat", "Stat"), "bargauge": ("bargauge", "BarGauge"),
    "state-timeline": ("statetimeline", "StateTimeline"),
}  # fmt: skip
COMPILER = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
]
HEAD = """
import type {{ Dashboard, FieldConfig, Panel, RowPanel }} from "@grafana/schema";
{imports}
// JSON has the values of enumerations, not their members.
type Plain<T> = T extends string ? `${{T}}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? {{ [K in keyof T]: Plain<T[K]> }} : T;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("npm") is None:
        missing("there is no npm")
    made = tmp_path_factory.mktemp("schema")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
    subprocess.run(command, cwd=made, check=True, capture_output=True, timeout=600)
    return made


def typed(board: Mapping[str, Any]) -> str:
    """TypeScript code that gives each part its type. The compiler rejects unknown fields in object literals."""
    place = "@grafana/schema/dist/esm/raw/composable/{0}/panelcfg/x/{1}PanelCfg_types.gen"
    imports = [f'import type * as {title} from "{place.format(name, title)}";' for name, title in KINDS.values()]
    lines = [HEAD.format(imports="\n".join(imports))]
    for panel in board["panels"]:
        id = panel["id"]
        if panel["type"] == "row":
            lines.append(f"const panel{id}: Plain<RowPanel> = {json.dumps(panel)};")
            continue
        title = KINDS[panel["type"]][1]
        defaults = panel["fieldConfig"]["defaults"]
        lines.append(f"const options{id}: Plain<{title}.Options> = {json.dumps(panel['options'])};")
        if "custom" in defaults:
            lines.append(f"const custom{id}: Plain<Partial<{title}.FieldConfig>> = {json.dumps(defaults['custom'])};")
        lines.append(f"const defaults{id}: Plain<FieldConfig> = {json.dumps(defaults)};")
        lines.append(f"const panel{id}: Plain<Panel> = {json.dumps(panel)};")
    lines.append(f"const board: Plain<Dashboard> = {json.dumps({**board, 'panels': []})};")
    return "\n".join(lines) + "\nexport {};\n"


def compiled(folder: Path, name: str, board: Mapping[str, Any]) -> str:
    (folder / f"{name}.ts").write_text(typed(board))
    command = [str(folder / "node_modules/.bin/tsc"), *COMPILER, f"{name}.ts"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False).stdout


BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(STACK.glob("grafana/dashboards/*.json"))}


@pytest.mark.parametrize("name", BOARDS)
def test_each_field_of_a_dashboard_has_its_published_type(folder: Path, name: str) -> None:
    assert compiled(folder, name, BOARDS[name]) == ""


@pytest.mark.parametrize(
    ("panel", "harm"),
    [
        (1, {"gridPos": {"h": "4", "w": 4, "x": 0, "y": 1}}),
        (1, {"unknown": 1}),
        (1, {"options": {"colorMode": "loud"}}),
        (1, {"fieldConfig": {"defaults": {"units": "s"}, "overrides": []}}),
        (0, {"collapsed": "no"}),
    ],
)
def test_a_wrong_field_is_detected(folder: Path, panel: int, harm: Mapping[str, Any]) -> None:
    board = BOARDS["host"]
    panels = [{**item, **harm} if n == panel else item for n, item in enumerate(board["panels"])]
    assert "error TS" in compiled(folder, "wrong", {**board, "panels": panels})
