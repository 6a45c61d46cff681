"""One MCP session over HTTP, from inside the stack: python3 mcp.py URL [METHOD PARAMETERS] … prints the last result."""

import json
import sys
import urllib.request

url, *asked = sys.argv[1:]
headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def send(message, method="POST"):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode() if message else None
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        session = answer.headers.get("Mcp-Session-Id")
        if session:
            headers["Mcp-Session-Id"] = session
        text = answer.read().decode()
    lines = [line[5:] for line in text.splitlines() if line.startswith("data:")] or [text]
    return [json.loads(line) for line in lines if line.strip()]


def ask(number, method, parameters):
    answer = next(item for item in send({"id": number, "method": method, "params": parameters}) if "result" in item)
    if answer["result"].get("isError"):
        sys.exit(json.dumps(answer["result"]))
    return answer["result"]


client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}
result = ask(0, "initialize", client)
headers["Mcp-Protocol-Version"] = result["protocolVersion"]
send({"method": "notifications/initialized"})
for at in range(0, len(asked), 2):
    result = ask(at + 1, asked[at], json.loads(asked[at + 1]))
if "Mcp-Session-Id" in headers:
    send(None, "DELETE")
print(json.dumps(result))
