"""One page: what the store says. Its password is the stack's secret."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask

STORE = urlsplit(os.environ["STORE"])
SECRET = Path("/run/secrets/db-password")
app = Flask(__name__)


def ask_redis() -> str:
    import redis

    return f"visit {redis.Redis(STORE.hostname).incr('visits')}"


def ask_mysql() -> str:
    import pymysql

    with pymysql.connect(host=STORE.hostname, user="root", password=SECRET.read_text(), database="example") as found:
        cursor = found.cursor()
        cursor.execute("SELECT version()")
        return str(cursor.fetchone()[0])


def ask_postgres() -> str:
    import psycopg2

    password = SECRET.read_text() if SECRET.exists() else os.environ["PG_PASSWORD"]
    database = os.environ.get("PG_DBNAME", "example")
    with psycopg2.connect(host=STORE.hostname, user="postgres", password=password, dbname=database) as found:
        cursor = found.cursor()
        cursor.execute("SELECT version()")
        return str(cursor.fetchone()[0])


@app.get("/")
def page() -> str:
    ask = {"redis": ask_redis, "mysql": ask_mysql, "postgres": ask_postgres}.get(STORE.scheme)
    return f"flask: {ask() if ask else 'no store'}\n"


@app.get("/health-check")
@app.get("/flask-health-check")
def health() -> str:
    return "success"


if __name__ == "__main__":
    app.run("0.0.0.0", int(os.environ["PORT"]))
