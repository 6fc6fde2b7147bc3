"""A small server that answers as the Hub does, on the loopback address, and can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants, file_download

from upscale.models import licence

CARD = b"---\nlicense: apache-2.0\n---\n# Tiny\n\nA tiny model.\n"
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
        self.tokens: list[str | None] = []  # that came with them
        self.ranges: list[str] = []
        self.blobs: dict[str, bytes] = {}  # sent, not committed yet
        self.private: dict[str, bool] = {}
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

    def do_POST(self) -> None:
        self.take()

    def do_PUT(self) -> None:
        self.take()

    def take(self) -> None:
        """Answer what writes: a repository is made, files are announced, sent, and committed."""
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.body = body
        server.requests.append(f"{self.command} {self.path}")
        if self.command == "POST":  # the addresses that are sent to are signed instead
            server.tokens.append(self.headers.get("Authorization"))
        self.commit = ""
        if server.fault is not None and server.fault(self, body):
            return None
        path = unquote(self.path.split("?")[0]).strip("/")
        if path == "api/validate-yaml":
            return self.tell({"errors": [], "warnings": []})
        if path == "api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            if repo in server.repositories:
                error = "You already created this model repo"
                return self.tell({"error": error, "url": f"{server.url}/{repo}"}, 409)
            server.repositories[repo] = Repository()
            server.private[repo] = wanted.get("visibility") == "private" or wanted.get("private") is True
            return self.tell({"url": f"{server.url}/{repo}", "name": repo})
        if path.startswith("lfs/"):
            server.blobs[path.removeprefix("lfs/")] = body
            return self.tell({})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for entry in objects:
                entry["actions"] = {"upload": {"href": f"{server.url}/lfs/{entry['oid']}"}}
            return self.tell({"transfer": "basic", "objects": objects})
        _, _, owner, name, kind, *_ = path.split("/")
        if f"{owner}/{name}" not in server.repositories:
            return self.refuse(404, "RepoNotFound")
        if kind == "preupload":
            return self.tell(
                {
                    "files": [
                        {
                            "path": entry["path"],
                            "uploadMode": "lfs" if entry["path"].endswith(".safetensors") else "regular",
                            "shouldIgnore": False,
                        }
                        for entry in json.loads(body)["files"]
                    ]
                }
            )
        assert kind == "commit"
        files: dict[str, bytes] = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = server.blobs[value["oid"]]
        commit = server.add(f"{owner}/{name}", files)
        url = f"{server.url}/{owner}/{name}/commit/{commit}"
        return self.tell({"success": True, "commitOid": commit, "commitUrl": url})

    def tell(self, content: Any, status: int = 200) -> None:
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def answer(self) -> None:
        if self.path.startswith("/api/"):  # what the client asks on its own account
            return self.refuse(404)
        self.server.requests.append(f"{self.command} {self.path}")
        self.server.tokens.append(self.headers.get("Authorization"))
        self.server.ranges += self.headers.get_all("Range", [])
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
        self.commit = commit
        if self.server.fault is not None and self.server.fault(self, content):
            return None
        self.send(content, content)
        return None

    def refuse(self, status: int, code: str = "", commit: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, promised: bytes, sent: bytes) -> None:
        """Send a file; its ETag is its SHA-256 for weights, which are kept in LFS, else git's own hash."""
        large = self.path.endswith(".safetensors")
        in_git = hashlib.sha1(b"blob %d\0" % len(promised) + promised)
        tag = hashlib.sha256(promised) if large else in_git
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{tag.hexdigest()}"')
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


@pytest.fixture
def files(make_model: Callable[..., Path]) -> dict[str, bytes]:
    """A model, at the top of a repository and in a folder of it."""
    model = {path.name: path.read_bytes() for path in make_model().iterdir()}
    card = {"README.md": CARD}
    return {**card, **model, **{f"deep/er/{name}": content for name, content in model.items()}}


@pytest.fixture
def point_client_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make an address the Hub's."""

    def point(url: str) -> None:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
        for module in (constants, file_download):  # older clients keep a copy where they use it
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
            monkeypatch.setattr(module, "ENDPOINT", url, raising=False)

    return point


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of settings, and nothing accepted yet."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "settings"))
    monkeypatch.delenv(licence.ENVIRONMENT, raising=False)
    monkeypatch.setattr(licence, "_now", set())
    return tmp_path / "settings"


@pytest.fixture
def server(
    hub_server: HubServer,
    files: dict[str, bytes],
    point_client_at: Callable[[str], None],
    own_settings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> HubServer:
    """The Hub, and an empty cache of the client's. The client waits between its attempts; not here."""
    hub_server.add("owner/sr3", files)
    point_client_at(hub_server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return hub_server
