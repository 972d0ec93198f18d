"""A local HTTP server that misbehaves by plan, for tests of downloads."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><html>Not what you wanted</html>"


@contextmanager
def serving(files, faults=()):
    """Serve {path: bytes}; each GET uses up the next fault.

    Faults: ("drop", n) closes after n bytes; ("drop, ignore range", n) also starts from zero;
    "html"; "wrong" (other bytes of the same length); "500"; "ignore range"; "redirect"; "shifted"
    (another part than asked for); "grown" (a part of a larger file); "labelled" (a .gz called
    packed on the way, which it is not); None (behave).
    Yields (base URL, list of (method, path, Range) seen).
    """
    faults, seen = list(faults), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):  # as NIH's server: a false 404
            self.send_error(404)

        def do_GET(self):
            seen.append(("GET", self.path, self.headers.get("Range")))
            fault = faults.pop(0) if faults else None
            path = self.path.removeprefix("/moved")
            if fault == "500":
                return self.send_error(500)
            if fault == "redirect":
                self.send_response(302)
                self.send_header("Location", f"/moved{path}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if fault == "html":
                return self.answer(PAGE, 200, {})
            if path not in files:
                return self.send_error(404)
            whole = files[path]
            start = 0
            ranged = self.headers.get("Range") and "ignore range" not in str(fault)
            if ranged:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(whole):
                return self.answer(b"", 416, {"Content-Range": f"bytes */{len(whole)}"})
            body = whole[start:]
            if fault == "wrong":
                body = bytes(255 - b for b in body)
            status, headers = 200, {}
            if fault == "labelled":
                headers["Content-Encoding"] = "gzip"
            if ranged:
                first = start + 1 if fault == "shifted" else start
                status = 206
                size = len(whole) + 5 * (fault == "grown")
                headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{size}"
            cut = fault[1] if isinstance(fault, tuple) else len(body)
            return self.answer(body, status, headers, cut)

        def answer(self, body, status, headers, cut=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None and cut < len(body):
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
