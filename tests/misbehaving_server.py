"""A local HTTP server that misbehaves by plan, for tests of downloads."""

import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><html>Not what you wanted</html>"
LENGTHLESS = ("no length", "chunked")


class Server(ThreadingHTTPServer):
    def handle_error(self, request, address):
        """A client that has gone is no error of a test."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, address)


@contextmanager
def serving(files, faults=()):
    """Serve {path: bytes}; each GET of a file uses up the next fault.

    A fault is a name, or a name and what belongs to it; a name may hold several, as
    ("drop, chunked", n). None behaves.

    - ("drop", n) closes after n bytes, ("stall", n) falls silent after them, ("drip", n) sends n
      bytes at a time and waits a little; "silent" never answers
    - "500"; ("429", text) and ("503", text) with that Retry-After
    - "redirect"; ("redirect, drop", n) to a place that closes after n bytes; "redirect, gone" to a
      link that has run out
    - "html"; "wrong" (other bytes of the same length); "grown" (a part of a larger file)
    - "ignore range"; "shifted" (another part than asked for)
    - "no length" (closes at the end); "chunked"; "labelled" (a .gz called packed on the way, which
      it is not); ("named", text) gives the file another name, ("scrawled", text) one of which
      text says the alphabet, as "utf-8''x"

    Yields (base URL, list of (method, path, Range) seen).
    """
    faults, seen, over = list(faults), [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):  # as NIH's server: a false 404
            self.send_error(404)

        def do_GET(self):
            seen.append(("GET", self.path, self.headers.get("Range")))
            if self.path.startswith("/gone"):
                return self.send_error(404)
            path = self.path
            if path.startswith("/moved-"):  # the fault was the redirect's
                cut, _, path = path.removeprefix("/moved-").partition("/")
                fault, path = ("drop", int(cut)) if cut else None, f"/{path}"
            else:
                fault = faults.pop(0) if faults else None
            kind, detail = fault if isinstance(fault, tuple) else (fault, "")
            kinds = kind.split(", ") if kind else []
            if "silent" in kinds:
                self.close_connection = True
                return over.wait(5)
            if set(kinds) & {"500", "429", "503"}:
                return self.answer(b"", int(kind), {"Retry-After": detail} if detail else {})
            if "redirect" in kinds:
                to = "/gone" if "gone" in kinds else f"/moved-{detail}"
                return self.answer(b"", 302, {"Location": f"{to}{path}"})
            if "html" in kinds:
                return self.answer(PAGE, 200, {})
            if path not in files:
                return self.send_error(404)
            return self.send_file(files[path], kinds, detail)

        def send_file(self, whole, kinds, detail):
            start = 0
            ranged = self.headers.get("Range") and "ignore range" not in kinds
            if ranged:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(whole):
                return self.answer(b"", 416, {"Content-Range": f"bytes */{len(whole)}"})
            body = whole[start:]
            if "wrong" in kinds:
                body = bytes(255 - b for b in body)
            status, headers = 200, {}
            if "labelled" in kinds:
                headers["Content-Encoding"] = "gzip"
            if "named" in kinds:
                headers["Content-Disposition"] = f'attachment; filename="{detail}"'
            if "scrawled" in kinds:
                headers["Content-Disposition"] = f"attachment; filename*={detail}"
            if ranged:
                first = start + 1 if "shifted" in kinds else start
                status = 206
                size = len(whole) + 5 * ("grown" in kinds)
                headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{size}"
            return self.answer(body, status, headers, kinds, detail)

        def answer(self, body, status, headers, kinds=(), detail=""):
            self.send_response(status)
            lengthless = next((kind for kind in LENGTHLESS if kind in kinds), None)
            if lengthless is None:
                headers = {"Content-Length": str(len(body))} | headers
            elif lengthless == "chunked":
                headers = {"Transfer-Encoding": "chunked"} | headers
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            cut = detail if {"drop", "stall"} & set(kinds) else len(body)
            step = detail if "drip" in kinds else 50_000
            for at in range(0, min(cut, len(body)), step):
                self.send_part(body[at : min(at + step, cut)], lengthless == "chunked")
                if "drip" in kinds:
                    time.sleep(0.001)
            if "stall" in kinds:
                over.wait(5)
            if cut < len(body) or lengthless == "no length":
                self.close_connection = True
            elif lengthless == "chunked":
                self.send_part(b"", chunked=True)

        def send_part(self, part, chunked):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            self.wfile.flush()

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
