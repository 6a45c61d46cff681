"""The public stacks that are run: files beside each Compose file, what is changed, and how it is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.corpus import beside
from tests.corpus.beside import flask, nginx, node

SECRET = {"db/password.txt": "db-78n9n"}


class Break(StrEnum):
    """How a commit is broken: by one more line in a service, or in a Dockerfile."""

    NO_PROGRAM = "entrypoint: [/missing]"
    CRASH = 'entrypoint: [sh, -c, "exit 3"]'
    UNHEALTHY = 'healthcheck: {test: ["CMD", "false"], interval: 1s, timeout: 1s, retries: 1}'
    TOO_SMALL = "mem_limit: 8m"
    BUILD = "RUN false"


@dataclass(frozen=True)
class Stack:
    """`change`: the service that the second commit changes. `broken`: (service, how) of the third; for `Break.BUILD`
    the folder of the Dockerfile instead of a service.

    `folders` and `files`: beside the Compose file. `asks`: URL → a text that its answer contains from then on.
    `capabilities`, `binds` and `subnets`: what the operator grants; `root`: it asks for what is equal to root, so the
    operator trusts pushers. `env`: the stack's, in the Host document.
    """

    name: str
    change: str
    broken: tuple[str, Break]
    asks: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, beside.Files] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    root: bool = False
    binds: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    soak: bool = False

    def beside(self) -> dict[str, str]:
        """Everything beside the Compose file, by path."""
        inside = {f"{folder}/{path}": text for folder, files in self.folders.items() for path, text in files.items()}
        return {**inside, **self.files}


STACKS = (
    Stack("apache-php", "web", ("web", Break.UNHEALTHY), {":80/": "php of the commit"}, {"app": beside.php()}),
    Stack("django", "web", ("app", Break.BUILD), {":8000/": "django"}, {"app": beside.django()}),
    Stack(
        "elasticsearch-logstash-kibana", "kibana", ("elasticsearch", Break.CRASH),
        {":9200/": "stand-in", ":5601/": "stand-in"},
        files={"logstash/pipeline/logstash-nginx.config": "input {}\n", "logstash/nginx.log": "GET /\n"}, soak=True,
    ),
    Stack("fastapi", "api", ("api", Break.CRASH), {":8000/": "fastapi"}, {".": beside.fastapi()}),
    Stack("flask-redis", "web", ("web", Break.NO_PROGRAM), {":8000/": "visit"}, {".": flask(store="redis://redis")}),
    Stack("gitea-postgres", "gitea", ("db", Break.NO_PROGRAM), {":3000/": "stand-in"}),
    Stack("nextcloud-redis-mariadb", "redis", ("nc", Break.UNHEALTHY), {":80/": "php as db"}),
    Stack(
        "nginx-flask-mysql", "backend", ("db", Break.NO_PROGRAM), {":80/": "MariaDB"},
        {"backend": flask(store="mysql://db"), "proxy": nginx("backend:8000")}, SECRET, soak=True,
    ),
    Stack(
        "nginx-golang-postgres", "proxy", ("backend", Break.CRASH), {":80/": "PostgreSQL"},
        {"backend": flask(store="postgres://db")},
        {**SECRET, "proxy/nginx.conf": beside.proxy("backend:8000")}, soak=True,
    ),
    Stack(
        "nginx-nodejs-redis", "web1", ("web2", Break.UNHEALTHY),
        {":80/": "node web", ":81/": "node web1", ":82/": "node web2"},
        {"web": node(5000), "nginx": nginx("web1:5000", "web2:5000")},
    ),
    Stack(
        "nginx-wsgi-flask", "flask-app", ("nginx-proxy", Break.NO_PROGRAM),
        {":80/": "flask", ":8000/flask-health-check": "success"},
        {"nginx": beside.start_script(), "flask": flask()}, {"nginx/default.conf": beside.proxy("$FLASK_SERVER_ADDR")},
        soak=True,
    ),
    Stack("postgresql-pgadmin", "pgadmin", ("postgres", Break.CRASH), {":5050/": "stand-in"}),
    Stack(
        "prometheus-grafana", "grafana", ("prometheus", Break.TOO_SMALL),
        {":9090/-/ready": "Ready", ":3000/": "stand-in"},
        files={
            "prometheus/prometheus.yml": "global: {scrape_interval: 15s}\n",
            "grafana/datasource.yml": "apiVersion: 1\n",
        },
    ),
    Stack(
        "react-express-mongodb", "backend", ("frontend", Break.UNHEALTHY), {":3000/": "node"},
        {"frontend": node(3000, "development"), "backend": node(3000, "development")},
    ),
    Stack(
        "react-express-mysql", "frontend", ("db", Break.CRASH), {":80/": "node", ":3000/": "node"},
        {"frontend": node(3000, "development"), "backend": beside.npm(80)},
        {**SECRET, "frontend/src/index.js": "", "backend/package.json": "{}", "backend/package-lock.json": "{}"},
        soak=True,
    ),
    Stack(
        "react-rust-postgres", "backend", ("db", Break.TOO_SMALL), {":3000/": "node"},
        {"frontend": node(3000, "development"), "backend": flask(store="postgres://db", target="development")},
        {"frontend/src/index.js": "", "backend/src/main.rs": ""}, soak=True,
    ),
    Stack(
        "traefik-golang", "backend", ("frontend", Break.NO_PROGRAM), {":80/": "--providers.docker"},
        {"backend": flask(80)}, root=True,
    ),
    Stack(
        "wireguard", "wireguard", ("wireguard", Break.UNHEALTHY), root=True,
        binds=("/usr/share/appdata/wireguard/config", "/usr/src", "/lib/modules"),
    ),
    Stack("angular", "web", ("web", Break.CRASH), {":4200/": "node"}, {"angular": node(4200)}, soak=True),
    Stack(
        "aspnet-mssql", "web", ("db", Break.NO_PROGRAM), {":80/": "flask"}, {"app/aspnetapp": flask(80)}, soak=True
    ),
    Stack("flask", "web", ("web", Break.TOO_SMALL), {":8000/": "flask"}, {"app": flask()}, soak=True),
    Stack(
        "minecraft", "minecraft", ("minecraft", Break.CRASH), {":25565/": "stand-in"},
        binds=("/srv/games/minecraft_data",), env={"HOME": "/srv/games"}, soak=True,
    ),
    Stack("nextcloud-postgres", "db", ("nc", Break.UNHEALTHY), {":80/": "php as db"}, soak=True),
    Stack(
        "nginx-aspnet-mysql", "proxy", ("backend", Break.CRASH), {":80/": "MariaDB"},
        {"backend": flask(store="mysql://db"), "proxy": nginx("backend:8000")}, SECRET, soak=True,
    ),
    Stack(
        "nginx-flask-mongo", "backend", ("web", Break.NO_PROGRAM), {":80/": "flask"}, {"flask": flask(9091)},
        {"nginx/nginx.conf": beside.proxy("$FLASK_SERVER_ADDR")}, soak=True,
    ),
    Stack(
        "nginx-golang", "backend", ("proxy", Break.NO_PROGRAM), {":80/": "flask"}, {"backend": flask()},
        {"proxy/nginx.conf": beside.proxy("backend:8000")}, soak=True,
    ),
    Stack(
        "nginx-golang-mysql", "backend", ("proxy", Break.CRASH), {":80/": "MariaDB"},
        {"backend": flask(store="mysql://db")}, {**SECRET, "proxy/nginx.conf": beside.proxy("backend:8000")},
        soak=True,
    ),
    Stack(
        "pihole-cloudflared-DoH", "pihole", ("cloudflared", Break.UNHEALTHY), {":8080/": "stand-in"},
        capabilities=("NET_ADMIN",), binds=("/etc/pihole/", "/etc/dnsmasq.d/"), subnets=("172.20.0.0/24",), soak=True,
    ),
    Stack(
        "portainer", "portainer", ("portainer", Break.CRASH), {":9000/": "-H"}, root=True, soak=True
    ),
    Stack(
        "react-java-mysql", "frontend", ("backend", Break.UNHEALTHY), {":3000/": "node"},
        {"frontend": node(3000, "development"), "backend": flask(store="mysql://db")},
        {**SECRET, "frontend/src/index.js": ""}, soak=True,
    ),
    Stack("react-nginx", "frontend", (".", Break.BUILD), {":80/": "nginx"}, {".": beside.page()}, soak=True),
    Stack(
        "sparkjava", "sparkjava", ("sparkjava", Break.CRASH), {":8080/": "flask"}, {"sparkjava": flask(8080)}, soak=True
    ),
    Stack(
        "sparkjava-mysql", "db", ("backend", Break.CRASH), {":8080/": "MariaDB"},
        {"backend": flask(8080, "mysql://db")}, SECRET, soak=True,
    ),
    Stack(
        "spring-postgres", "backend", ("db", Break.NO_PROGRAM), {":8080/": "flask"},
        {"backend": flask(8080)}, SECRET, soak=True,
    ),
    Stack(
        "vuejs", "web", ("web", Break.UNHEALTHY), {":8080/": "node"}, {"vuejs": node(8080, "development")}, soak=True
    ),
    Stack("wordpress-mysql", "wordpress", ("db", Break.UNHEALTHY), {":80/": "php as db"}, soak=True),
)  # fmt: skip

NOT_RUN = {
    "plex": "it takes the host's own network",
    "wasmedge-kafka-mysql": "it needs a runtime that no package brings",
    "wasmedge-mysql-nginx": "it needs a runtime that no package brings",
}
