"""Short versions of the files beside the public stacks' Compose files: build contexts with a Dockerfile, and
configurations.

Each function returns files by path below one folder. The programs are real (Flask, Django, Node, PHP, nginx). They only
show that they run, and that they reach the stores of the stack.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.conftest import ROOT

APPS = ROOT / "tests/corpus/apps"

Files = Mapping[str, str]


def context(image: str, app: str, command: str, *, port: int = 8000, store: str = "", target: str = "builder") -> Files:
    """A build context: `app` (a file of `apps/`) on one of the images, with every stage that the stacks name."""
    lines = [
        f"FROM reconciler-corpus/{image} AS {target}",
        f"ENV PORT={port} STORE={store}",
        "STOPSIGNAL SIGINT",
        "WORKDIR /app",
        f"COPY {app} /app/",
        f"CMD exec {command}",
    ]
    return {"Dockerfile": "\n".join([*lines, ""]), app: (APPS / app).read_text()}


def flask(port: int = 8000, store: str = "", target: str = "builder") -> Files:
    """Answers with the content of `store` (redis://, mysql://, postgres:// and a host)."""
    return context("python", "app.py", "python3 /app/app.py", port=port, store=store, target=target)


def django() -> Files:
    return context("python", "django_app.py", "python3 /app/django_app.py runserver --noreload 0.0.0.0:8000")


def fastapi() -> Files:
    return context("python", "fastapi_app.py", "uvicorn --host 0.0.0.0 --port $PORT fastapi_app:app")


def node(port: int, target: str = "builder") -> Files:
    return context("node", "server.js", "node /app/server.js", port=port, target=target)


def php() -> Files:
    """The page is mounted; the image alone would answer with another one."""
    dockerfile = "FROM reconciler-corpus/php AS builder\n"
    return {"Dockerfile": dockerfile, "index.php": '<?php echo "php of the commit";\n'}


def nginx(*backends: str) -> Files:
    dockerfile = "FROM reconciler-corpus/nginx\nCOPY default.conf /etc/nginx/conf.d/default.conf\n"
    return {"Dockerfile": dockerfile, "default.conf": proxy(*backends)}


def proxy(*backends: str) -> str:
    """An nginx that only starts when its backends (host:port) can be resolved."""
    servers = " ".join(f"server {backend};" for backend in backends)
    return f"upstream app {{ {servers} }}\nserver {{ listen 80; location / {{ proxy_pass http://app; }} }}\n"


def start_script() -> Files:
    """An image whose program is a script that fills a mounted template."""
    dockerfile = "FROM reconciler-corpus/nginx\nCOPY --chmod=755 start.sh /app/start.sh\n"
    fill = "envsubst '$FLASK_SERVER_ADDR' </tmp/default.conf >/etc/nginx/conf.d/default.conf"
    return {"Dockerfile": dockerfile, "start.sh": f"#!/bin/sh\n{fill}\nexec nginx -g 'daemon off;'\n"}


def npm(port: int) -> Files:
    """`npm run …` starts the mounted program, under the name that the stack gives it."""
    dockerfile = (
        f"FROM reconciler-corpus/node AS development\nARG NODE_ENV\nENV PORT={port} BUILT_FOR=$NODE_ENV\n"
        'RUN test -n "$NODE_ENV" && printf "#!/bin/sh\\nexec node /code/src/index.js\\n" >/usr/local/bin/npm '
        "&& chmod +x /usr/local/bin/npm\n"
    )
    return {"Dockerfile": dockerfile, "src/index.js": (APPS / "server.js").read_text()}


def page() -> Files:
    return {"Dockerfile": "FROM reconciler-corpus/nginx\n"}
