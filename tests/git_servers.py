"""Servers of git on loopback: https with a certificate of an authority of its own, and ssh."""

from __future__ import annotations

import base64
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SSHD = "/usr/sbin/sshd"
USER = "git"


def certificate(folder: Path, name: str = "ca") -> Path:
    """An authority `name`.pem, which is returned, and a certificate of its for 127.0.0.1: cert.pem, key.pem."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *new, "-x509", "-days", "2", "-subj", f"/CN=our own {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"
    )
    openssl(*new, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signing = ("-CA", f"{name}.pem", "-CAkey", f"{name}.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "request.pem", *signing, "-out", "cert.pem")
    return folder / f"{name}.pem"


@dataclass
class HttpsGit:
    """Serves the repositories below `root` by `git http-backend`. `tokens`: those that are let in; None: everybody is.

    `answer`: a status and headers for whoever is let in, in place of git's. `asked`: each request's Authorization, as
    it was decoded ('' for none). `hold`: while it is cleared, nobody is answered who has sent a token; `held`: set when
    somebody waits.
    """

    root: Path
    tokens: set[str] | None = None
    answer: tuple[int, dict[str, str]] | None = None
    asked: list[str] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    scheme: str = "https"

    def url(self, name: str = "home.git") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"


@contextmanager
def https_git(root: Path, folder: Path, *, tls: bool = True) -> Iterator[HttpsGit]:
    """`folder` has cert.pem and key.pem."""
    made = HttpsGit(root, scheme="https" if tls else "http")
    made.hold.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = (self.headers.get("Authorization") or "").partition(" ")[2]
            pair = base64.b64decode(given).decode()
            made.asked.append(pair)
            if pair and not made.hold.is_set():
                made.held.set()
                made.hold.wait(60)
            if made.tokens is not None and pair.partition(":")[2] not in made.tokens:
                self._send(401, {"WWW-Authenticate": 'Basic realm="home"'}, b"no")
            elif made.answer is not None:
                self._send(*made.answer, b"no")
            else:
                self._backend(body)

        do_POST = do_GET  # noqa: N815

        def _backend(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(made.root), "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": USER,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            }  # fmt: skip
            done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            lines = [line.partition(": ") for line in head.decode().splitlines()]
            headers = {key: value for key, _, value in lines}
            status = int(headers.pop("Status", "200 OK").split()[0])
            self._send(status, headers, content)

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        made.hold.set()
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class SshServer:
    """`keys`: the public halves that are let in, one a line. `host_key`: its line of known_hosts, without the name."""

    port: int
    keys: Path
    host_key: str

    @property
    def known(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"


def can_serve_ssh() -> bool:
    return os.geteuid() == 0 and Path(SSHD).exists() and bool(shutil.which("ssh"))


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A real sshd; `folder` must be one that every account may enter."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key = " ".join(new_key(folder / "host").split()[:2])
    keys = folder / "keys"
    keys.touch(mode=0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={folder}/host", f"AuthorizedKeysFile={keys}",
        "StrictModes=no", "UsePAM=no", "PidFile=none", "PasswordAuthentication=no",
    ]  # fmt: skip
    argv = [SSHD, "-D", "-e", "-f", "/dev/null", *(part for option in options for part in ("-o", option))]
    server = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    for line in server.stderr:
        if "listening" in line:
            break
    rest = threading.Thread(target=server.stderr.read, daemon=True)
    rest.start()
    try:
        yield SshServer(port, keys, host_key)
    finally:
        server.terminate()
        server.wait()
        rest.join()
        server.stderr.close()


def new_key(path: Path) -> str:
    """A key without a passphrase; its public half, which is in no file: ssh would believe that one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    public = path.with_name(path.name + ".pub")
    text = public.read_text()
    public.unlink()
    return text
