"""`client.py HOST`: 100 requests per second, one in ten of them slow, until SIGTERM. Prints their results as JSON.

Each request has its own connection and looks the address up again, like a client that keeps no connections.
"""

import http.client
import json
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PAUSE = 0.01
TIMEOUT = 10.0

stop = threading.Event()
taken: list[float] = []
failed: list[str] = []


def ask(path: str) -> None:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(sys.argv[1], 8080, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
        if status != 200:
            failed.append(f"status {status}")
    except OSError as error:
        failed.append(f"{type(error).__name__} {error}")
    except http.client.HTTPException as error:
        failed.append(type(error).__name__)
    finally:
        connection.close()
        taken.append(time.monotonic() - begun)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with ThreadPoolExecutor(200) as pool:
        begun, number = time.monotonic(), 0
        while not stop.is_set():
            pool.submit(ask, "/slow" if number % 10 == 0 else "/")
            number += 1
            time.sleep(max(0.0, begun + number * PAUSE - time.monotonic()))
    reasons = {reason: failed.count(reason) for reason in sorted(set(failed))}
    print(json.dumps({"requests": len(taken), "failed": len(failed), "slowest": max(taken), "reasons": reasons}))
