"""The container's health check: exit 0 when /health is 200. It runs often, so it imports very little."""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8001), timeout=4)
connection.request("GET", "/health")
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
