"""A web server on 127.0.0.1 that drops, lies, corrupts and refuses ranges, as told."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Behaviour:
    """What the server does, and what it was asked."""

    def __init__(self):
        self.files = {}
        self.requests = []
        self.drop_after = []  # cut the connection after so many bytes, once each
        self.corrupt = 0  # number of answers with a flipped byte
        self.statuses = []  # answer with these first
        self.ranges = True  # False: ignore Range, answer 200
        self.shift = 0  # answer another range than asked for, once
        self.extra = 0  # send so many bytes too many, announced honestly
        self.no_length = False
        self.kind = "application/octet-stream"  # Content-Type
        self.pause = 0.0  # seconds between blocks of 64 kB
        self.etag = '"one"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *args):
        pass

    def do_GET(self):  # noqa: N802
        told = self.server.behaviour
        told.requests.append((self.path, self.headers.get("Range")))
        if told.statuses:
            return self.empty(told.statuses.pop(0))
        if self.path not in told.files:
            return self.empty(404)
        body = told.files[self.path] + told.extra * b"x"
        if told.corrupt:
            told.corrupt -= 1
            body = bytes([body[0] ^ 255]) + body[1:]
        return self.send(told, body)

    def send(self, told, body):
        total, asked = len(body), re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        fresh = self.headers.get("If-Range") in (None, told.etag)
        if asked and told.ranges and fresh:
            start = int(asked[1]) + told.shift
            told.shift = 0
            if start >= total:
                return self.empty(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = body[start:]
        else:
            self.send_response(200)
        if not told.no_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", told.etag)
        self.send_header("Content-Type", told.kind)
        self.end_headers()
        cut = told.drop_after.pop(0) if told.drop_after else len(body)
        with contextlib.suppress(OSError):  # the other side was killed
            for start in range(0, cut, 1 << 16 if told.pause else max(cut, 1)):
                self.wfile.write(body[start : min(start + (1 << 16), cut)] if told.pause else body[:cut])
                if told.pause:
                    time.sleep(told.pause)
        return None

    def empty(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def running():
    """Yield (address, behaviour) of a server on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.behaviour = Behaviour()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
