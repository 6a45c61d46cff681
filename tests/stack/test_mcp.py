"""The MCP servers, used by a client over HTTP: first `initialize`, then their tools."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import eventually
from tests.stack.blackbox import FOLDER, Blackbox, blackbox, environment

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

PORTS = {"mcp-filesystem": 8932, "mcp-playwright": 8931, "mcp-supabase": 8933}
NAMES = {"mcp-filesystem": "secure-filesystem-server", "mcp-playwright": "Playwright", "mcp-supabase": "not set up"}
PAGE = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Quinces</title><h1>All about quinces</h1><a href='/pears'>Pears</a>")
http.server.HTTPServer(("0.0.0.0", 8080), Page).serve_forever()
"""
SERVER = {
    "build": "./file-watcher",
    "entrypoint": ["python", "-c", PAGE],
    "restart": "unless-stopped",
    "networks": ["mcp"],
    "mem_limit": "64m",
}  # fmt: skip
"""A page on the browser's network."""


class Servers:
    def __init__(self, stack: Blackbox) -> None:
        self.stack, self.host = stack, stack.host

    def ask(self, service: str, *asked: Any) -> list[Any]:
        """The results of METHOD, PARAMS, METHOD, PARAMS… in one session. The client runs inside the container."""
        words = [item if isinstance(item, str) else json.dumps(item) for item in asked]
        quoted = " ".join(f"'{word}'" for word in words)
        told = self.host.exec(f"{service}-1", f"node ask.mjs {PORTS[service]} {quoted}")
        return [json.loads(line) for line in told.splitlines()]

    def refused(self, service: str, method: str, params: Any) -> str:
        command = f"node ask.mjs {PORTS[service]} {method} '{json.dumps(params)}' 2>&1 && exit 1 || true"
        return self.host.exec(f"{service}-1", command)

    def status(self, service: str, headers: dict[str, str], method: str = "POST", body: str = "{}") -> int:
        """The HTTP status of a request with these headers."""
        options = {"method": method, "headers": headers}
        # Not `fetch`: it does not let the caller set Host and Origin.
        script = f"""
            const sent = require('http').request('http://localhost:{PORTS[service]}/mcp', {json.dumps(options)});
            sent.on('response', (answer) => {{ console.log(answer.statusCode); process.exit(); }});
            sent.end({json.dumps(body if method == "POST" else "")});"""
        return int(self.host.exec(f"{service}-1", f"cat > /tmp/ask.js <<'END'\n{script}\nEND\nnode /tmp/ask.js"))

    def processes(self, service: str) -> list[str]:
        """Command lines of the processes in the container. The engine lists them, so that nothing is added."""
        answer = self.host.engine.top(f"{self.host.stack}-{service}-1", "-o pid,args")
        return [" ".join(row[1:]) for row in answer["Processes"]]


def call(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return "tools/call", {"name": name, "arguments": arguments}


def text(result: Any) -> str:
    return "\n".join(item["text"] for item in result["content"] if item["type"] == "text")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Servers]:
    with blackbox(tmp_path_factory.mktemp("mcp"), compose) as stack:
        # Short, so that the test can wait until the browser ends.
        stack.push(
            {f"{FOLDER}/.env": environment(MCP_PLAYWRIGHT_IDLE_MILLISECONDS="5000")},
            only=(*PORTS, "quinces"),
            services={"quinces": SERVER},
        )
        turn = stack.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn.stdout
        yield Servers(stack)


@pytest.mark.parametrize("service", PORTS)
def test_the_health_check_of_each_server_sends_initialize(servers: Servers, service: str) -> None:
    found = servers.host.container(service)
    assert found["State"]["Health"]["Status"] == "healthy"
    assert NAMES[service] in found["State"]["Health"]["Log"][-1]["Output"]


@pytest.mark.parametrize("service", PORTS)
def test_health_checks_leave_nothing_behind(servers: Servers, service: str) -> None:
    before = sorted(servers.processes(service))
    for _ in range(12):
        servers.ask(service, "tools/list", {})
    eventually(lambda: sorted(servers.processes(service)) == before)


def test_filesystem_reads_and_writes_the_workspace_and_nothing_else(servers: Servers) -> None:
    listed = servers.ask("mcp-filesystem", "tools/list", {})[0]
    assert {"read_text_file", "write_file", "search_files"} <= {tool["name"] for tool in listed["tools"]}
    written, read, outside, above = servers.ask(
        "mcp-filesystem",
        *call("write_file", path="/workspace/a.md", content="A file of the workspace."),
        *call("read_text_file", path="/workspace/a.md"),
        *call("read_text_file", path="/etc/passwd"),
        *call("write_file", path="/workspace/../opt/mcp/x", content="x"),
    )
    assert not written.get("isError")
    assert text(read) == "A file of the workspace."
    assert outside["isError"]
    assert "outside allowed directories" in text(outside)
    assert above["isError"]


def test_a_link_out_of_the_workspace_is_not_followed(servers: Servers) -> None:
    servers.host.exec("mcp-filesystem-1", "ln -sf /etc/passwd /workspace/link")
    assert servers.ask("mcp-filesystem", *call("read_text_file", path="/workspace/link"))[0]["isError"]


def test_filesystem_comes_back_when_its_program_is_killed(servers: Servers) -> None:
    program = "tr '\\0' ' ' <$c | grep -q '^node --max-old-space-size=64'"
    find = f"for c in /proc/[0-9]*/cmdline; do {program} && echo $c; done | cut -d/ -f3"
    before = servers.host.exec("mcp-filesystem-1", find)
    servers.host.exec("mcp-filesystem-1", f"kill -9 {before}")
    assert servers.ask("mcp-filesystem", "ping", {}) == [{}]
    assert servers.host.exec("mcp-filesystem-1", find) not in ("", before)
    assert servers.host.container("mcp-filesystem")["RestartCount"] == 0


def test_the_bridge_accepts_only_json_and_no_requests_of_browsers(servers: Servers) -> None:
    json_type = {"Content-Type": "application/json"}
    ping = '{"jsonrpc": "2.0", "id": 1, "method": "ping"}'

    def status(headers: dict[str, str], method: str = "POST", body: str = ping) -> int:
        return servers.status("mcp-filesystem", headers, method, body)

    assert status(json_type) == 200
    assert status({**json_type, "Origin": "http://evil.example"}) == 403
    assert status({"Content-Type": "text/plain"}) == 415
    assert status(json_type, "GET") == 405
    assert status(json_type, body="[]") == 400
    assert status(json_type, body="{") == 400
    assert status(json_type, body='{"jsonrpc": "2.0", "method": "notifications/initialized"}') == 202
    assert "Method not found" in servers.refused("mcp-filesystem", "no/such", {})


def test_playwright_opens_a_page_and_its_browser_ends(servers: Servers) -> None:
    opened, seen = servers.ask(
        "mcp-playwright",
        *call("browser_navigate", url="http://quinces:8080/"),
        *call("browser_snapshot"),
    )
    assert "Page Title: Quinces" in text(opened)
    assert 'heading "All about quinces"' in text(seen)
    eventually(lambda: not any("chromium" in line.split()[0] for line in servers.processes("mcp-playwright")))


def test_playwright_answers_only_the_names_that_it_was_given(servers: Servers) -> None:
    initialize = '{"jsonrpc": "2.0", "id": 1, "method": "initialize"}'
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    assert servers.status("mcp-playwright", {**headers, "Host": "evil.example:8931"}, body=initialize) == 403


def test_supabase_without_a_token_offers_nothing_and_says_why(servers: Servers) -> None:
    assert servers.ask("mcp-supabase", "tools/list", {}) == [{"tools": []}]
    assert "SUPABASE_ACCESS_TOKEN" in servers.refused("mcp-supabase", "tools/call", {"name": "list_projects"})
    assert "SUPABASE_ACCESS_TOKEN" in servers.host.engine.logs(f"{servers.host.stack}-mcp-supabase-1").decode()


def test_the_mcp_servers_stop_at_once(servers: Servers) -> None:
    for service in PORTS:
        begun = time.monotonic()
        servers.host.engine.stop(f"{servers.host.stack}-{service}-1", timeout=30)
        took = time.monotonic() - begun
        print(f"\n{service} stopped in {took:.1f} s")
        assert took < 5
    assert servers.stack.once()["outcome"] == "Succeeded"


def test_supabase_with_a_token_starts_the_real_program(servers: Servers) -> None:
    token = "sbp_" + "0" * 40
    path = servers.host.secrets / servers.host.stack / "SUPABASE_ACCESS_TOKEN"
    path.touch(mode=0o600)
    path.write_text(token)
    before = servers.stack.running()
    turn = servers.stack.once()
    assert turn["outcome"] == "Succeeded", turn.stdout
    after = servers.stack.running()
    supabase = f"{servers.host.stack}-mcp-supabase-1"
    assert [name for name in before if after[name] != before[name]] == [supabase]
    assert "supabase " in servers.host.container("mcp-supabase")["State"]["Health"]["Log"][-1]["Output"]
    assert token not in json.dumps(servers.host.container("mcp-supabase"))
    assert not any(token in line for line in servers.processes("mcp-supabase"))
    assert any("--read-only" in line and "project-ref" not in line for line in servers.processes("mcp-supabase")[-1:])
