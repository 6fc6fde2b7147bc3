"""Licences: which are asked about, how, and that the answer is kept."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from upscale.cli import console, fetching
from upscale.cli.app import app
from upscale.engine.upscaler import Upscaler
from upscale.errors import ExitCode, WeightsError
from upscale.models import catalog, licence
from upscale.models.access import Access
from upscale.models.inventory import CACHED, REMOTE, inspect
from upscale.models.licence import Licence, LicenceNotAccepted

Server = Any
BOUND = b"---\nlicense: other\nlicense_name: house-rules\nlicense_link: LICENSE.md\n---\nA model.\n"
CARDS = {
    "of its own": (BOUND, "house-rules", "/owner/sr3/blob/main/LICENSE.md", "read it"),
    "openrail": (b"---\nlicense: openrail++\n---\n", "openrail", "/owner/sr3", "harming people"),
    "non-commercial": (b"---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0", "/owner/sr3", "commercial"),
    "none": (b"# A model\n", "states no licence", "/owner/sr3", "Ask its owner"),
    "no card": (None, "states no licence", "/owner/sr3", "Ask its owner"),
    "damaged": (b"---\n{[\n---\n", "states no licence", "/owner/sr3", "Ask its owner"),
}


def change_card(server: Server, files: dict[str, bytes], card: bytes | None) -> None:
    others = {name: content for name, content in files.items() if name != "README.md"}
    server.add("owner/sr3", others if card is None else {**others, "README.md": card})


@pytest.fixture
def bound(server: Server, files: dict[str, bytes]) -> Server:
    """The Hub, where the model has a licence that is not known to be harmless."""
    change_card(server, files, BOUND)
    return server


def weights_asked_for(server: Server) -> bool:
    return any(
        request.startswith("GET") and request.endswith((".json", ".safetensors"))
        for request in server.requests
    )


@pytest.mark.parametrize("name", CARDS)
def test_a_licence_is_told_before_anything_of_the_model_is_downloaded(
    name: str, server: Server, files: dict[str, bytes]
) -> None:
    card, known_as, address, gist = CARDS[name]
    change_card(server, files, card)
    result = CliRunner().invoke(app, ["models", "pull", "owner/sr3"])
    assert result.exit_code == ExitCode.WEIGHTS and "--accept-licence" in result.stderr
    for part in (known_as, address, gist):
        assert part in result.stderr
    assert not weights_asked_for(server) and inspect("owner/sr3").where == REMOTE
    server.requests.clear()
    with pytest.raises(LicenceNotAccepted):
        catalog.locate("owner/sr3")
    assert not [request for request in server.requests if "README" in request]  # nor asked for a second time
    assert CliRunner().invoke(app, ["models", "pull", "owner/sr3", "--accept-licence"]).exit_code == 0


def test_harmless_ones_are_not_asked_about(server: Server) -> None:
    assert catalog.locate("owner/sr3").weights.is_file()


def test_what_was_accepted_is_remembered(bound: Server, own_settings: Path, tmp_path: Path) -> None:
    catalog.locate("owner/sr3", Access(accept_licence=True))
    (kept,) = json.loads((own_settings / "upscale" / licence.FILE).read_text())
    assert kept.startswith("owner/sr3 house-rules http")
    licence._now.clear()  # another day
    assert CliRunner().invoke(app, ["models", "rm", "owner/sr3"]).exit_code == 0
    assert catalog.locate("owner/sr3").weights.is_file()


def test_another_licence_is_another_question(bound: Server, files: dict[str, bytes]) -> None:
    catalog.locate("owner/sr3", Access(accept_licence=True))
    change_card(bound, files, BOUND.replace(b"house-rules", b"stricter-rules"))
    remote = catalog.on_hub("owner/sr3")
    assert remote is not None
    with pytest.raises(LicenceNotAccepted, match="stricter-rules"):
        remote.pull(Access())
    assert catalog.locate("owner/sr3").weights.is_file()  # what is here goes on working


def test_the_environment_accepts(bound: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(licence.ENVIRONMENT, "1")
    assert catalog.locate("owner/sr3").weights.is_file()


@pytest.mark.parametrize("content", [None, b"{", b"3", b"[1]", b"\xff"])
def test_settings_that_are_damaged_ask_again(content: bytes | None, own_settings: Path) -> None:
    terms = Licence("house-rules")
    if content is not None:
        (own_settings / "upscale").mkdir(parents=True)
        (own_settings / "upscale" / licence.FILE).write_bytes(content)
    assert not licence.accepted("a/b", terms)
    licence.accept("a/b", terms)
    licence._now.clear()
    assert licence.accepted("a/b", terms) and not licence.accepted("a/c", terms)


def test_settings_that_cannot_be_written_hold_for_this_process(own_settings: Path) -> None:
    own_settings.write_text("a file where the folder should be")
    licence.accept("a/b", Licence("house-rules"))
    assert licence.accepted("a/b", Licence("house-rules"))
    licence._now.clear()
    assert not licence.accepted("a/b", Licence("house-rules"))


def test_from_python(bound: Server) -> None:
    with pytest.raises(WeightsError, match="house-rules"):
        Upscaler("owner/sr3", device="cpu")
    assert Upscaler("owner/sr3", device="cpu", accept_licence=True).settings.model == "tiny"
    assert Upscaler("owner/sr3", device="cpu", offline=True).settings.model == "tiny"


# --- the question ---------------------------------------------------------------------------------------


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Run the command as if at a terminal, with this typed."""

    def run(typed: str, *args: str) -> Any:
        monkeypatch.setattr(fetching, "_at_a_terminal", lambda: True)
        return CliRunner().invoke(app, list(args), input=typed)

    return run


@pytest.mark.parametrize("typed", ["y\n", "YES\n"])
def test_yes(typed: str, answer: Callable[..., Any], bound: Server) -> None:
    result = answer(typed, "models", "pull", "owner/sr3")
    assert result.exit_code == 0, result.stderr
    assert "house-rules" in result.stderr and "accept it? [y/N]" in result.stderr + result.output
    assert "accept" not in result.stdout and "cached" in result.stdout


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yellow\n"])
def test_anything_else(typed: str, answer: Callable[..., Any], bound: Server) -> None:
    result = answer(typed, "models", "pull", "owner/sr3")
    assert result.exit_code == ExitCode.WEIGHTS and "was not accepted" in result.stderr
    assert not weights_asked_for(bound) and not licence.accepted("owner/sr3", Licence("house-rules"))


def test_the_main_command_asks_before_it_plans(
    answer: Callable[..., Any], bound: Server, tmp_path: Path
) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (9, 7), "teal").save(photo)
    run = (str(photo), "--model", "owner/sr3", "--device", "cpu")
    assert answer("n\n", *run).exit_code == ExitCode.WEIGHTS
    assert not (tmp_path / "a_4x.png").exists()
    result = answer("", *run, "--json")  # who reads JSON is no person
    assert result.exit_code == ExitCode.WEIGHTS and "--accept-licence" in result.stderr
    result = answer("y\n", *run, "--dry-run")
    assert result.exit_code == 0 and inspect("owner/sr3").where == REMOTE  # only looked at
    assert answer("", *run).exit_code == 0 and inspect("owner/sr3").where == CACHED
    assert (tmp_path / "a_4x.png").exists()
    seen = bound.connections
    assert answer("", *run, "--overwrite", "--offline").exit_code == 0 and bound.connections == seen


def test_a_picture_on_stdin_is_no_answer(bound: Server, tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (9, 7), "teal").save(picture, "png")
    run = ["-", "--model", "owner/sr3", "--device", "cpu", "-o", str(tmp_path / "b.png")]
    result = CliRunner().invoke(app, run, input=picture.getvalue())
    assert result.exit_code == ExitCode.WEIGHTS and "--accept-licence" in result.stderr
    assert CliRunner().invoke(app, [*run, "--accept-licence"], input=picture.getvalue()).exit_code == 0
    assert (tmp_path / "b.png").exists()


@pytest.mark.parametrize("closed", ["stdin", "stderr"])
def test_only_a_terminal_is_asked(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(console, "STDERR", console.STDERR.__class__(file=Terminal()))
    assert fetching._at_a_terminal()
    if closed == "stdin":
        monkeypatch.setattr(sys, "stdin", None)
    else:
        monkeypatch.setattr(console, "STDERR", console.STDERR.__class__(file=io.StringIO()))
    assert not fetching._at_a_terminal()
