"""A small server that answers as the Hub does, on the loopback address, and can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

Fault = Callable[["Handler", bytes], bool]
"""(the request being answered, the file's bytes) -> whether it has answered; False leaves it to the server"""


@dataclass
class Repository:
    """Files by revision: `{"main": commit}`, `{commit: {path: bytes}}`."""

    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)


class HubServer(ThreadingHTTPServer):
    """Serves `/{owner}/{repo}/resolve/{revision}/{path}` and counts what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.fault: Fault | None = None
        self.requests: list[str] = []  # for files
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, repo: str, files: dict[str, bytes], *, ref: str = "main") -> str:
        """Add a commit and let a branch show it; return its hash."""
        content = repr(sorted(files.items())).encode()
        commit = hashlib.sha1(content).hexdigest()
        repository = self.repositories.setdefault(repo, Repository())
        repository.commits[commit] = files
        repository.refs[ref] = commit
        return commit

    def get_request(self):  # type: ignore[no-untyped-def]
        self.connections += 1
        return super().get_request()

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """Clients may hang up."""

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.path.startswith("/api/"):  # what the client asks on its own account
            return self.refuse(404)
        self.server.requests.append(f"{self.command} {self.path}")
        parts = unquote(self.path.split("?")[0]).strip("/").split("/")
        repository = self.server.repositories.get("/".join(parts[:2]))
        if repository is None or len(parts) < 5 or parts[2] != "resolve":
            return self.refuse(401, "RepoNotFound")
        commit = repository.refs.get(parts[3], parts[3])
        if commit not in repository.commits:
            return self.refuse(404, "RevisionNotFound")
        content = repository.commits[commit].get("/".join(parts[4:]))
        if content is None:
            return self.refuse(404, "EntryNotFound", commit)
        if self.server.fault is not None and self.server.fault(self, content):
            return None
        self.send(content, content, commit)
        return None

    def refuse(self, status: int, code: str = "", commit: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, promised: bytes, sent: bytes, commit: str = "0" * 40) -> None:
        """Send a file as one kept in LFS: its ETag is its SHA-256."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(promised).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(promised) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(promised) - 1}/{len(promised)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(sent[start:])
            if len(sent) < len(promised):
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub_server() -> Iterator[HubServer]:
    """A running server without repositories."""
    with HubServer() as running:
        yield running
