"""The container's health check: exit 0 when the API is ready. It runs often, so it imports very little."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=7)
connection.request("GET", "/health/ready")
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
