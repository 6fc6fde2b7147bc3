"""A model folder goes to the Hub: the real client, real HTTP to a small server here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from upscale.cli.app import app
from upscale.errors import ExitCode, UsageError, WeightsError
from upscale.models import catalog
from upscale.models.publish import _refusal, prepare, push
from upscale.options import DEFAULT_MODEL

MakeModel = Callable[..., Path]
Server = Any
CARD = "---\nlicense: mit\n---\n# Mine\n\nA model of mine.\n"


@pytest.fixture
def folder(make_model: MakeModel) -> Path:
    made = make_model()
    (made / "README.md").write_text(CARD)
    return made


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    # Xet, which newer clients prefer, talks to servers of its own; LFS goes through ours.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True, raising=False)


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["models", "push", *args])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_sent_and_used(folder: Path, server: Server) -> None:
    (folder / "LICENSE").write_text("Do as you like.")
    result = run(str(folder), "me/mine")
    assert result.exit_code == 0, result.stderr
    repository = server.repositories["me/mine"]
    assert repository.commits[repository.refs["main"]] == contents(folder)
    assert set(server.tokens) == {"Bearer hf_mine"} and not server.private["me/mine"]
    assert "Use it: upscale photo.jpg --model me/mine" in result.stdout
    assert catalog.describe("me/mine") == catalog.describe(str(folder))
    again = run(str(folder), "me/mine", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["commit"].endswith(repository.refs["main"])


def test_a_private_repository(folder: Path, server: Server) -> None:
    assert run(str(folder), "me/mine", "--private").exit_code == 0 and server.private["me/mine"]


def test_an_embedded_model_gets_a_head_for_its_card(server: Server) -> None:
    card = prepare(DEFAULT_MODEL, "me/mine").files["README.md"]
    assert isinstance(card, bytes) and card.startswith(b"---\nlicense: apache-2.0\n")


def test_what_is_no_part_of_a_model_is_left_out(folder: Path, server: Server) -> None:
    programs = ("LICENSE.key", "NOTICE.pkl", "license.py")
    for name in ("training.pth", *programs, "LICENSE.txt", "Licence"):
        (folder / name).write_bytes(b"x")
    (folder / ".secret").write_bytes(b"x")
    (folder / "deep").mkdir()
    (folder / "link.txt").symlink_to(folder / "config.json")
    result = run(str(folder), "me/mine", "--dry-run")
    assert result.exit_code == 0
    assert "LICENSE.txt" in result.stdout and "Licence" in result.stdout
    for name in ("training.pth", ".secret", "deep", "link.txt", *programs):
        assert f"{name} is left out" in result.stderr and name not in result.stdout


def test_a_dry_run_shows_all_and_asks_nobody(folder: Path, server: Server) -> None:
    result = run(str(folder), "me/mine", "--dry-run")
    assert result.exit_code == 0 and server.connections == 0
    for name, content in contents(folder).items():
        assert name in result.stdout and f"{len(content):,} bytes" in result.stdout
    row = json.loads(run(str(folder), "me/mine", "--dry-run", "--json").stdout)
    assert row["files"] == {name: len(content) for name, content in contents(folder).items()}
    assert row["commit"] is None and server.connections == 0


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])


def wrong_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "halo_px": 3}))


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no card": (lambda folder: (folder / "README.md").unlink(), "has no card"),
    "no licence": (lambda folder: (folder / "README.md").write_text("# Mine"), "states no licence"),
    "card of bytes": (lambda folder: (folder / "README.md").write_bytes(b"\xff"), "cannot be read"),
    "cut weights": (cut_weights, "bytes long instead of"),
    "another config": (wrong_config, "not the config"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "holds no"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_would_not_load_is_not_sent(name: str, folder: Path, server: Server) -> None:
    breaks, said = BROKEN[name]
    breaks(folder)
    result = run(str(folder), "me/mine")
    assert result.exit_code == ExitCode.WEIGHTS and said in result.stderr, result.stderr
    assert server.connections == 0


def test_the_card_is_looked_at_before_the_weights(folder: Path) -> None:
    (folder / "README.md").unlink()
    cut_weights(folder)
    with pytest.raises(WeightsError, match="has no card"):
        prepare(str(folder), "me/mine")


@pytest.mark.parametrize(
    "repo", ["mine", "me/mine/more", "me/mine@main", "me/mine:deep", "me/..", "../me", ""]
)
def test_names_that_are_no_repository(repo: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="no repository"):
        prepare(str(folder), repo)


def test_a_single_file_or_a_model_of_the_hub(folder: Path) -> None:
    with pytest.raises(UsageError, match="not a folder with"):
        prepare(str(folder / "model.safetensors"), "me/mine")
    with pytest.raises(UsageError, match="on the Hub already"):
        prepare("owner/sr3", "me/mine")


def refusing(part: str, status: int) -> Callable[[Any, bytes], bool]:
    def fault(handler: Any, body: bytes) -> bool:
        if part in handler.path:
            handler.tell({"error": "Because."}, status)
            return True
        return False

    return fault


def hanging_up(part: str) -> Callable[[Any, bytes], bool]:
    def fault(handler: Any, body: bytes) -> bool:
        if part in handler.path:
            handler.close_connection = True
            return True
        return False

    return fault


@pytest.mark.parametrize("part", ["repos/create", "preupload", "objects/batch", "/lfs/", "/commit/"])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "refuses the files"),
        (401, "does not know who"),
        (403, "may not write"),
        (404, "no owner me"),
        (412, "meanwhile"),
        (429, "too often"),
        (500, "an error of its own"),
    ],
)
def test_refusals(part: str, status: int, said: str, folder: Path, server: Server) -> None:
    publication = prepare(str(folder), "me/mine")
    server.fault = refusing(part, status)
    with pytest.raises(WeightsError, match=said) as caught:
        push(publication)
    assert caught.value.hint and "me/mine" not in catalog.load()
    assert not server.repositories.get("me/mine") or not server.repositories["me/mine"].commits


@pytest.mark.parametrize("part", ["repos/create", "preupload", "/lfs/", "/commit/"])
def test_a_cut_connection(part: str, folder: Path, server: Server) -> None:
    publication = prepare(str(folder), "me/mine")
    server.fault = hanging_up(part)
    with pytest.raises(WeightsError, match="broke off"):
        push(publication)
    server.fault = None
    push(publication)
    assert server.repositories["me/mine"].refs


def test_an_answer_in_words_only() -> None:
    """So the client's part in Rust tells it."""
    error = RuntimeError("Network error: HTTP status client error (403 Forbidden), domain: http://x.org/")
    assert "may not write to me/mine" in _refusal(error, "me/mine").message


def test_a_conflict_and_the_command(folder: Path, server: Server) -> None:
    server.fault = refusing("/commit/", 409)
    result = run(str(folder), "me/mine")
    assert result.exit_code == ExitCode.WEIGHTS and "meanwhile" in result.stderr
    assert "Traceback" not in result.stderr


def test_offline(folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run(str(folder), "me/mine")
    assert result.exit_code == ExitCode.WEIGHTS and "HF_HUB_OFFLINE" in result.stderr
    assert "Sending" not in result.stderr
    assert server.connections == 0
