"""`python -m brain` serves until SIGTERM."""

from __future__ import annotations

import uvicorn

from brain.app import create_app
from brain.logs import set_up_logs
from brain.settings import Settings

set_up_logs()
uvicorn.run(
    create_app(Settings.from_environment()), host="0.0.0.0", port=8000,  # noqa: S104 - the networks limit access
    loop="uvloop", http="httptools", log_config=None, access_log=False, timeout_graceful_shutdown=20,
)  # fmt: skip
