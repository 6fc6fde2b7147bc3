"""Models of the Hub: the real client, real HTTP to a small server here, and what can go wrong on the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from inspect import signature as inspect_signature
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog, hub
from upscale.models.access import Access
from upscale.models.digest import sha256_of
from upscale.models.hub import fetch
from upscale.models.hub_errors import explained
from upscale.models.inventory import CACHED, REMOTE, inspect, verify
from upscale.models.reference import Reference, parse

REPO = Reference("owner/sr3")
Server = Any


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x40
    path.write_bytes(content)


def kept(tmp_path: Path) -> list[str]:
    """What the cache offers; locks, marks and beginnings to resume from are no offers."""
    return sorted(
        path.name
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file() and path.suffix in (".json", ".safetensors")
    )


# --- references -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", Reference("a/b")),
        ("a/b@v1.0", Reference("a/b", "v1.0")),
        ("a/b:x/y", Reference("a/b", "main", "x/y")),
        ("a-1/b.c_d@refs/pr/1:x", Reference("a-1/b.c_d", "refs/pr/1", "x")),
        ("a/b@v--1:x-/y.git", Reference("a/b", "v--1", "x-/y.git")),
        ("a/" + "b" * 96, Reference("a/" + "b" * 96)),
    ],
)
def test_references(text: str, expected: Reference) -> None:
    assert parse(text) == expected and str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "a/b/c",
            "/a/b",
            "a/",
            "./a/b",
            "../b",
            "a/..",
            "~/b",
            "a\\b",
            "a/b@",
            "a/b:",
            "a/b c",
            "a/b\n",
        ),
        *("a/b:..", "a/b:../../x", "a/b:x/../y", "a/b:/etc", "a/b:x//y", "a/b:x\\y", "a/b:.git", "a/b:x\0"),
        *(
            "a/b@..",
            "a/b@../x",
            "a/b@/x",
            "a/b@x/../../y",
            "-a/b",
            "a/b@-x",
            "https://x.org/a",
            "a/" + "b" * 999,
        ),
        *("a/b-", "a/b.", "a-/b", "a/b--c", "a--b/c", "a/b.git", "a/b.git@main", "a/" + "b" * 97),
    ],
)
def test_paths_that_would_escape_and_others_that_are_none(text: str) -> None:
    assert parse(text) is None


# --- what works -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subfolder", ["", "deep/er"])
def test_a_model_is_fetched_once_and_then_works_without_a_network(
    subfolder: str, server: Server, files: dict[str, bytes]
) -> None:
    reference = Reference(REPO.repo, subfolder=subfolder)
    assert hub.cached(reference) is None
    folder = fetch(reference)
    config, weights = folder / "config.json", folder / "model.safetensors"
    assert (config.read_bytes(), weights.read_bytes()) == (files["config.json"], files["model.safetensors"])
    seen = server.connections
    assert (
        len(server.requests) == 6
    )  # HEAD and GET of each file, and what the branch stands for, before and after
    assert fetch(reference) == folder == hub.cached(reference)
    assert catalog.describe(str(reference)).name == "tiny"
    assert catalog.locate(str(reference)).weights == weights
    assert (server.connections, len(server.requests)) == (seen, 6)


def test_describing_fetches_the_config_alone(server: Server) -> None:
    assert catalog.describe("owner/sr3").scale == 4
    assert not [request for request in server.requests if "safetensors" in request]


def test_a_commit_is_never_resolved_again(server: Server, files: dict[str, bytes]) -> None:
    first = server.repositories[REPO.repo].refs["main"]
    pinned = Reference(REPO.repo, first)
    fetch(pinned)
    server.add(REPO.repo, {**files, "config.json": b"{}"})
    server.requests.clear()
    assert (fetch(pinned) / "config.json").read_bytes() == files["config.json"] and not server.requests


def test_a_branch_moves_only_when_asked(server: Server, files: dict[str, bytes]) -> None:
    fetch(REPO)
    changed = files["config.json"].replace(b'"tiny"', b'"new"')
    server.add(REPO.repo, {**files, "config.json": changed})
    assert (fetch(REPO) / "config.json").read_bytes() == files["config.json"]
    folder = fetch(REPO, fresh=True)
    assert (folder / "config.json").read_bytes() == changed and (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors"])
def test_an_update_that_fails_leaves_the_old_model(
    broken: str, server: Server, files: dict[str, bytes]
) -> None:
    old = fetch(REPO)

    def fail(handler: Any, content: bytes) -> bool:
        if handler.path.endswith(broken) and handler.command == "GET":
            handler.refuse(500)
            return True
        return False

    server.add(REPO.repo, {name: content + b" " for name, content in files.items()})
    server.fault = fail
    with pytest.raises(WeightsError):
        fetch(REPO, fresh=True)
    assert hub.cached(REPO) == old
    server.fault = None
    assert fetch(REPO, fresh=True) == hub.cached(REPO) != old


def test_a_branch_that_moves_in_between(server: Server, files: dict[str, bytes]) -> None:
    """Config and weights are of the same commit."""

    def move(handler: Any, content: bytes) -> bool:
        if handler.command == "GET" and handler.path.endswith("config.json"):
            server.add(REPO.repo, {**files, "model.safetensors": b"others"})
        return False

    server.fault = move
    assert (fetch(REPO) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_folder_of_that_name_goes_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "sr3").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        catalog.locate("owner/sr3")
    assert not server.requests


def test_a_cut_connection_is_taken_up_again(server: Server, files: dict[str, bytes]) -> None:
    cuts = []

    def cut_once(handler: Any, content: bytes) -> bool:
        if handler.command == "GET" and handler.path.endswith("safetensors") and not cuts:
            cuts.append(1)
            handler.send(content, content[: len(content) // 2])
            return True
        return False

    server.fault = cut_once
    try:
        fetch(REPO)
    except WeightsError as error:  # older clients do not try again by themselves
        assert "Only a part" in error.message
    assert (fetch(REPO) / "model.safetensors").read_bytes() == files["model.safetensors"] and cuts


# --- the catalogue --------------------------------------------------------------------------------------


@pytest.fixture
def shelf(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write a catalogue with one model of the Hub, `far-4x`."""
    monkeypatch.setattr(catalog, "weights_folder", lambda: tmp_path)

    def write(sha256: str, revision: str | None = None) -> None:
        revision = revision or server.repositories[REPO.repo].refs["main"]
        (tmp_path / "catalog.toml").write_text(
            f'[far-4x]\nsummary = "Far."\nlicence = "CC0-1.0"\nsha256 = "{sha256}"\nsize = 7\nscale = 4\n'
            f'repo = "owner/sr3"\nrevision = "{revision}"\n'
        )
        catalog.load.cache_clear()

    yield write
    catalog.load.cache_clear()


def test_an_entry_of_the_catalogue(
    shelf: Callable[..., None], server: Server, files: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(files["model.safetensors"])
    sha256 = sha256_of(tmp_path / "w")
    shelf(sha256)
    far = inspect("far-4x")
    assert (far.where, far.scale, far.size, far.config, far.weights) == (REMOTE, 4, 7, None, None)
    assert not server.requests
    location = catalog.locate("far-4x")
    assert location.sha256 == sha256 and location.weights.read_bytes() == files["model.safetensors"]
    assert inspect("far-4x").where == CACHED


def test_an_entry_that_hashes_otherwise(shelf: Callable[..., None], server: Server) -> None:
    shelf("0" * 64)
    with pytest.raises(WeightsError, match="SHA-256 is wrong"):
        catalog.locate("far-4x")
    assert inspect("far-4x").where == REMOTE  # nothing of it was kept


@pytest.mark.parametrize("revision", ["main", "v1", "0" * 39])
def test_entries_must_be_pinned(revision: str, shelf: Callable[..., None]) -> None:
    shelf("0" * 64, revision)
    with pytest.raises(WeightsError, match="not pinned to a commit"):
        catalog.load()


@pytest.mark.parametrize("name", ["far-4x", "owner/sr3"])
def test_damage_in_the_cache_is_found_and_mended(
    name: str, shelf: Callable[..., None], server: Server, files: dict[str, bytes]
) -> None:
    shelf(hashlib.sha256(files["model.safetensors"]).hexdigest())
    weights = catalog.locate(name).weights
    damage(weights)
    with pytest.raises(WeightsError, match="SHA-256 is wrong"):
        verify(name)
    assert CliRunner().invoke(app, ["models", "pull", name]).exit_code == ExitCode.OK
    assert weights.read_bytes() == files["model.safetensors"] and verify(name).where == CACHED
    assert verify(name).sha256 == hashlib.sha256(files["model.safetensors"]).hexdigest()  # as the Hub tells
    damage(weights)
    result = CliRunner().invoke(app, ["models", "pull", name, "--offline"])
    assert result.exit_code == ExitCode.WEIGHTS and "not in the cache" in result.stderr


def test_a_damaged_config_in_the_cache_is_mended(server: Server, files: dict[str, bytes]) -> None:
    """It is kept in git, and lies under the hash that git gives it."""
    config = catalog.locate("owner/sr3").config
    assert config is not None
    config.write_bytes(files["config.json"].replace(b"4", b"3", 1))
    assert CliRunner().invoke(app, ["models", "pull", "owner/sr3"]).exit_code == ExitCode.OK
    assert config.read_bytes() == files["config.json"]
    asked = len(server.requests)
    assert CliRunner().invoke(app, ["models", "pull", "owner/sr3"]).exit_code == ExitCode.OK
    assert not any(request.startswith("GET") for request in server.requests[asked:])  # it is whole again


# --- what goes wrong ------------------------------------------------------------------------------------


def refusing(status: int, code: str = "") -> Any:
    def fault(handler: Any, content: bytes) -> bool:
        handler.refuse(status, code)
        return True

    return fault


def corrupting(handler: Any, content: bytes) -> bool:
    if handler.path.endswith("safetensors"):
        handler.send(content, content[:-1] + bytes([content[-1] ^ 1]))
        return True
    return False


def hanging_up(handler: Any, content: bytes) -> bool:
    if handler.path.endswith("safetensors") and handler.command == "GET":
        handler.send(content, b"")
        return True
    return False


def no_hub(handler: Any, content: bytes) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
    return True


def slow(handler: Any, content: bytes) -> bool:
    if handler.path.endswith("safetensors") and handler.command == "GET":
        handler.server.stop.wait(20)
    return False


FAULTS: dict[str, tuple[Any, str]] = {
    "gated": (refusing(403, "GatedRepo"), "is gated"),
    "forbidden": (refusing(403), "does not let you read"),
    "unauthorized": (refusing(401), "does not let you read|no repository"),
    "rate-limited": (refusing(429), "asked too often"),
    "trouble": (refusing(500), "an error of its own"),
    "unavailable": (refusing(503), "an error of its own"),
    "corrupted": (corrupting, "arrived damaged"),
    "cut": (hanging_up, "Only a part|cannot be reached"),
    "not the Hub": (no_hub, "does not answer as the Hub"),
}


def test_damage_on_the_way_where_there_are_no_links(
    server: Server, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where no blob's name tells the hash."""
    monkeypatch.setattr(huggingface_hub.file_download, "are_symlinks_supported", lambda *args: False)
    server.fault = corrupting
    with pytest.raises(WeightsError, match="arrived damaged"):
        fetch(REPO)
    assert kept(tmp_path) == ["config.json"]
    server.fault = None
    weights = fetch(REPO) / "model.safetensors"
    assert weights.read_bytes() == files["model.safetensors"] and not weights.is_symlink()


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_message_and_leaves_the_cache_usable(
    name: str, server: Server, files: dict[str, bytes], tmp_path: Path
) -> None:
    server.fault, said = FAULTS[name]
    result = CliRunner().invoke(app, ["models", "pull", "owner/sr3"])
    assert result.exit_code == ExitCode.WEIGHTS, result.stderr
    with pytest.raises(WeightsError, match=said) as caught:
        fetch(REPO)
    assert caught.value.hint and "Traceback" not in result.stderr
    assert not [file for file in kept(tmp_path) if file != "config.json"]  # nothing of the weights
    server.fault = None
    assert (fetch(REPO) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_server_that_is_too_slow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    server.stop = threading.Event()
    server.fault = slow
    try:
        with pytest.raises(WeightsError, match="cannot be reached"):
            fetch(REPO)
    finally:
        server.stop.set()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (Reference("owner/nothing"), "no repository on the Hub"),
        (Reference(REPO.repo, "v9"), "no revision v9"),
        (Reference(REPO.repo, "f" * 40), "no revision fff"),
        (Reference(REPO.repo, subfolder="nowhere"), r"holds no nowhere/config\.json"),
    ],
    ids=str,
)
def test_what_is_not_there(reference: Reference, said: str, server: Server) -> None:
    with pytest.raises(WeightsError, match=said):
        fetch(reference)


def test_no_network(server: Server, point_client_at: Callable[[str], None]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    point_client_at(url)
    with pytest.raises(WeightsError, match="cannot be reached"):
        fetch(REPO)


def run(server: Server, tmp_path: Path, *args: str, before: str = "pass", **env: str) -> Any:
    """Run the command in a process of its own, with the settings that people make."""
    code = f"{before}\nfrom upscale.cli.main import main\nmain()"
    settings = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1", **env}
    return subprocess.run(
        [sys.executable, "-c", code, "models", *args],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_offline(server: Server, tmp_path: Path) -> None:
    missing = run(server, tmp_path, "pull", "owner/sr3", HF_HUB_OFFLINE="1")
    assert missing.returncode == ExitCode.WEIGHTS and "HF_HUB_OFFLINE" in missing.stderr
    assert server.connections == 0
    pulled = run(server, tmp_path, "pull", "owner/sr3")
    assert pulled.returncode == 0 and "cached" in pulled.stdout and pulled.stderr == "", pulled.stderr
    seen = server.connections
    found = run(server, tmp_path, "path", "owner/sr3", HF_HUB_OFFLINE="1")
    assert found.returncode == 0 and Path(found.stdout.strip()).name == "model.safetensors"
    assert run(server, tmp_path, "verify", "owner/sr3").returncode == 0
    assert server.connections == seen


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk(server: Server, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))"
    full = run(server, tmp_path, "pull", "owner/sr3", before=limit)
    assert full.returncode == ExitCode.WEIGHTS and "no room" in full.stderr, full.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert run(server, tmp_path, "pull", "owner/sr3").returncode == 0


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(REPO)


def test_a_proxy_that_needs_another_package(server: Server, tmp_path: Path) -> None:
    proxy = {"HTTP_PROXY": "socks5://127.0.0.1:1", "http_proxy": "socks5://127.0.0.1:1"}
    result = run(server, tmp_path, "pull", "owner/sr3", NO_PROXY="", no_proxy="", **proxy)
    assert result.returncode == ExitCode.WEIGHTS and "cannot be reached" in result.stderr, result.stderr


def test_files_kept_in_xet_that_cannot_be_had(server: Server, tmp_path: Path) -> None:
    """The client's part in Rust asks another server for them, which does not know us here."""
    pytest.importorskip("hf_xet", reason="comes with newer clients")

    def in_xet(handler: Any, content: bytes) -> bool:
        if not handler.path.endswith(("safetensors", "?token")):
            return False
        handler.send_response(200)
        handler.send_header("X-Repo-Commit", handler.commit)
        handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("X-Xet-Hash", "a" * 64)
        handler.send_header("X-Xet-Refresh-Route", f"{server.url}{handler.path}?token")
        handler.send_header("X-Xet-Cas-Url", server.url)
        handler.send_header("X-Xet-Access-Token", "token")
        handler.send_header("X-Xet-Token-Expiration", "9999999999")
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)
        return True

    server.fault = in_xet
    result = run(server, tmp_path, "pull", "owner/sr3")
    assert any("reconstructions" in request for request in server.requests)
    assert result.returncode == ExitCode.WEIGHTS and "does not let you read" in result.stderr, result.stderr
    assert not list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("Request error: HTTP status client error (429 Too Many Requests), domain"),
            "too often",
        ),
        (
            RuntimeError("Request error: HTTP status server error (502 Bad Gateway), domain"),
            "error of its own",
        ),
        (RuntimeError("Request error: HTTP status client error (404 Not Found), domain"), "be reached"),
        (RuntimeError("Task error: No space left on device (os error 28)"), "no room"),
        (RuntimeError("Task error: File size mismatch: expected 8 bytes"), "Only a part"),
        (OSError(errno.EROFS, "Read-only file system", "/cache"), "cannot be written"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/cache"), "cannot be written"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "cannot be reached"),
    ],
)
def test_what_the_client_raises(error: Exception, said: str) -> None:
    assert said in explained(error, REPO, "config.json").message


# --- what the client is left to do ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_repository_that_has_moved(status: int, server: Server, files: dict[str, bytes]) -> None:
    server.add("owner/renamed", files)

    def move(handler: Any, content: bytes) -> bool:
        if handler.path.startswith("/owner/sr3/"):
            handler.send_response(status)
            handler.send_header("Location", handler.path.replace("/sr3/", "/renamed/"))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return True
        return False

    server.fault = move
    folder = fetch(REPO)
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    seen = server.connections
    assert fetch(REPO) == folder and server.connections == seen


def test_only_what_is_missing_of_a_cut_download_comes_again(
    server: Server, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New clients take a file up again within a call, older ones with the next."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # what is kept is whole chunks
    half = len(files["model.safetensors"]) // 2
    cuts = []

    def cut_once(handler: Any, content: bytes) -> bool:
        if handler.command == "GET" and handler.path.endswith("safetensors") and not cuts:
            cuts.append(1)
            handler.send(content, content[:half])
            return True
        return False

    server.fault = cut_once
    with contextlib.suppress(WeightsError):
        fetch(REPO)
    assert (fetch(REPO) / "model.safetensors").read_bytes() == files["model.safetensors"]
    (asked,) = server.ranges
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= half


def test_a_rate_limit_that_ends_is_waited_for(
    server: Server, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    refused = []

    def limit(handler: Any, content: bytes) -> bool:
        if handler.command == "GET" and handler.path.endswith("safetensors") and not refused:
            refused.append(1)
            handler.send_response(429)
            handler.send_header("Retry-After", "3")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return True
        return False

    server.fault = limit
    try:
        fetch(REPO)
    except WeightsError as error:  # clients before 1.0 do not wait
        assert "too often" in error.message
    else:
        assert any(seconds >= 1 for seconds in slept)
    assert (fetch(REPO) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_the_token_is_sent(server: Server, tmp_path: Path) -> None:
    assert run(server, tmp_path, "pull", "owner/sr3", HF_TOKEN="hf_secret").returncode == 0
    assert set(server.tokens) == {"Bearer hf_secret"}
    assert list((tmp_path / "home" / "hub").glob("models--owner--sr3"))  # under HF_HOME


def test_offline_as_an_option(server: Server, tmp_path: Path) -> None:
    for command in (["pull"], ["path"]):
        arguments = [*command, "owner/sr3", *(["--offline"] if command == ["pull"] else [])]
        missing = CliRunner().invoke(app, ["models", *arguments])
        assert missing.exit_code == ExitCode.WEIGHTS and "not in the cache" in missing.stderr
    assert server.connections == 0
    with pytest.raises(WeightsError, match="--offline"):
        catalog.locate("owner/sr3", Access(offline=True))
    fetch(REPO)
    seen = server.connections
    assert CliRunner().invoke(app, ["models", "pull", "owner/sr3", "--offline"]).exit_code == 0
    assert catalog.locate("owner/sr3", Access(offline=True)).weights.is_file()
    assert server.connections == seen


def test_progress_is_told(server: Server, files: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    told: dict[str, tuple[int, int | None]] = {}

    def tell(file: str, done: int, total: int | None) -> None:
        assert told.get(file, (0, None))[0] <= done
        told[file] = (done, total)

    fetch(REPO, tell=tell)
    assert set(told) == set(hub.FILES)
    if "tqdm_class" in inspect_signature(huggingface_hub.hf_hub_download).parameters:
        assert told == {name: (len(files[name]), len(files[name])) for name in hub.FILES}
    assert capfd.readouterr() == ("", "")  # the client draws nothing itself


# --- the commands ---------------------------------------------------------------------------------------


def test_pull_and_rm(server: Server, tmp_path: Path) -> None:
    invoke = CliRunner().invoke
    assert invoke(app, ["models", "info", "owner/sr3", "--json", "--offline"]).exit_code == 0
    assert not server.connections
    for command in ("path", "verify"):
        result = invoke(app, ["models", command, "owner/sr3"])
        assert result.exit_code == ExitCode.WEIGHTS and "upscale models pull owner/sr3" in result.stderr
    pulled = invoke(app, ["models", "pull", "owner/sr3", "--json"])
    row = json.loads(pulled.stdout)
    assert (row["where"], row["scale"]) == ("cached", 4) and Path(row["weights"]).is_file()
    assert invoke(app, ["models", "rm", "owner/sr3"]).exit_code == 0
    assert kept(tmp_path) == [] and inspect("owner/sr3").where == REMOTE
    again = invoke(app, ["models", "rm", "owner/sr3"])
    assert again.exit_code == ExitCode.WEIGHTS and "not in the cache" in again.stderr


@pytest.mark.parametrize("first", ["", "deep/er"])
def test_a_model_in_a_folder_goes_alone(first: str, server: Server, tmp_path: Path) -> None:
    """Also where both are of the same bytes."""
    inner, top = "owner/sr3:deep/er", "owner/sr3"
    for name in sorted((inner, top), key=lambda name: name.endswith(first)):
        catalog.locate(name)
    assert hub.remove(Reference(REPO.repo, subfolder="deep/er")) == 0  # the bytes are shared
    assert inspect(inner).where == REMOTE and verify(top).where == CACHED
    with pytest.raises(WeightsError, match="not in the cache"):
        hub.remove(Reference(REPO.repo, subfolder="deep/er"))
    catalog.locate(inner)
    assert hub.remove(REPO) > 1000 and kept(tmp_path) == []
    size = sum(file.stat().st_size for file in catalog.locate(inner).weights.parent.iterdir())
    assert hub.remove(Reference(REPO.repo, subfolder="deep/er")) >= size and kept(tmp_path) == []


def test_what_was_not_downloaded_is_not_removed(make_model: Callable[..., Path], server: Server) -> None:
    folder = make_model()
    result = CliRunner().invoke(app, ["models", "rm", str(folder)])
    assert result.exit_code == ExitCode.USAGE and (folder / "model.safetensors").exists()


def test_the_client_is_not_loaded_for_embedded_models() -> None:
    code = (
        "import sys; from upscale.models import catalog; from upscale.options import DEFAULT_MODEL\n"
        "catalog.locate(DEFAULT_MODEL); sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert huggingface_hub.__version__
