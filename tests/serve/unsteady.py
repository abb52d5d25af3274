"""What stands between a client and the service, and fails: a proxy that cuts, a server that refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class CuttingProxy:
    """Passes connections on to ``target``; each of the first ones ends after so many bytes of answer."""

    target: int
    cuts: list[int]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                caller, _ = self.listener.accept()
                limit = self.cuts[self.connections] if self.connections < len(self.cuts) else None
                self.connections += 1
                threading.Thread(target=self.pass_on, args=(caller, limit), daemon=True).start()

    def pass_on(self, caller: socket.socket, limit: int | None) -> None:
        with caller, socket.create_connection(("127.0.0.1", self.target)) as service:
            threading.Thread(target=copy, args=(caller, service, None), daemon=True).start()
            copy(service, caller, limit)
            for end in (caller, service):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def copy(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while (limit is None or passed < limit) and (data := source.recv(1024)):
            sink.sendall(data)
            passed += len(data)


@contextmanager
def cutting_proxy(target: int, cuts: list[int]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(target, cuts)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    yield proxy
    proxy.listener.shutdown(socket.SHUT_RDWR)
    proxy.listener.close()
    thread.join(5)


@dataclass
class Refusing:
    """Gives the ``answers`` (status, headers, body) one after the other; keeps what was asked."""

    answers: list[tuple[int, dict[str, str], bytes]]
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def refusing_server(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Refusing]:
    refusing = Refusing(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            refusing.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = refusing.answers.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    refusing.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield refusing
    server.shutdown()
    server.server_close()
    thread.join(5)
