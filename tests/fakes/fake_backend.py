"""A stand-in for an inference server: loads for a while, then answers.

Usage: fake_backend.py PORT [--load SECONDS] [--die-after SECONDS] [--fragile] [--deaf]
"""

import argparse
import http.server
import os
import signal
import threading
import time

signal.alarm(120)  # whatever a broken test forgets
parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--load", type=float, default=0.0)
parser.add_argument("--die-after", type=float)
parser.add_argument("--fragile", action="store_true", help="die of the first POST")
parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
options = parser.parse_args()
born = time.monotonic()
if options.deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.die_after is not None:
    threading.Timer(options.die_after, lambda: os._exit(3)).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if time.monotonic() - born >= options.load else 503)
        self.end_headers()

    def do_POST(self) -> None:
        if options.fragile:
            os._exit(3)
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


server = http.server.HTTPServer(("127.0.0.1", options.port), Handler)
print("up", flush=True)  # noqa: T201
server.serve_forever()
