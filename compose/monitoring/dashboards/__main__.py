"""Writes each dashboard as a JSON file, which Grafana loads."""

from pathlib import Path

from dashboards.boards import BOARDS
from dashboards.grafana import text

FOLDER = Path(__file__).parents[1] / "grafana/dashboards"

for board in BOARDS:
    (FOLDER / f"{board.uid}.json").write_text(text(board))
