"""The loop: exact resume, the average that is shipped, outliers, and what can go wrong."""

from __future__ import annotations

import copy
import csv
import errno
import functools
import io
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from upscale.errors import InputError, OutputError, UpscaleError, UsageError
from upscale.models import catalog
from upscale.models.restorer import Restorer
from upscale.training import recipe as recipes
from upscale.training.examples.photos import Photos
from upscale.training.export import export
from upscale.training.loop import train as training
from upscale.training.loop.ahead import Batches
from upscale.training.loop.begin import start
from upscale.training.loop.log import COLUMNS, Log, Report
from upscale.training.loop.state import State, read
from upscale.training.loop.step import one_step
from upscale.training.loop.train import faded, rate_at, train
from upscale.training.recipe import Chain, Recipe


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_six_steps_are_three_and_three(
    dtype: str, recipe: Recipe, images: Photos, tmp_path: Path, assert_equal: Callable[[Any, Any], int]
) -> None:
    recipe = replace(recipe, dtype=dtype)
    train(recipe, images, tmp_path / "whole", steps=6)
    train(recipe, images, tmp_path / "parts", steps=3)
    torch.rand(5)  # whatever else draws from the global generator
    state = train(recipe, images, tmp_path / "parts", steps=6)
    assert state.step == 6
    whole, parts = (read(tmp_path / run / "state.pt") for run in ("whole", "parts"))
    assert assert_equal(whole, parts) > 100
    assert train(recipe, images, tmp_path / "parts", steps=6).step == 6  # nothing left to do


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch, of itself
def test_a_compiled_run_is_the_same(
    recipe: Recipe,
    images: Photos,
    tmp_path: Path,
    assert_equal: Callable[[Any, Any], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole graphs are taken, all parts that a step calls; turned into code for the CPU they only round."""
    called: list[int] = []

    def as_it_is(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        def forward(*given: Any) -> Any:
            called.append(sum(node.op == "call_function" for node in graph.graph.nodes))
            return graph.forward(*given)

        return forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=as_it_is, fullgraph=True))
    recipe = replace(recipe, network={**recipe.network, "first_step": True, "first_encoder": True})
    train(recipe, images, tmp_path / "plain", steps=3)
    train(recipe, images, tmp_path / "compiled", steps=1, compiled=True)
    assert len(called) == 4 and min(called) > 20  # a step and the first step, each with its encoder
    train(recipe, images, tmp_path / "compiled", steps=3)  # its state is like any other
    assert assert_equal(*(read(tmp_path / run / "state.pt") for run in ("plain", "compiled"))) > 100


def test_frozen_weights_stay(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    """Of a run whose encoder and ends are taken over only the steps between learn."""
    ends = {"first_step": True, "first_encoder": True, "last_step": True}
    recipe = replace(recipe, network={**recipe.network, **ends}, frozen=("encoder.", "first.", "last."))
    before = {name: w.clone() for name, w in start(recipe, "cpu").network.state_dict().items()}
    after = train(recipe, images, tmp_path, steps=3).network.state_dict()
    changed = {name for name, w in after.items() if not torch.equal(w, before[name])}
    between = {name for name in before if not name.startswith(recipe.frozen)}
    assert changed <= between and len(changed) > 0.9 * len(between)


def test_training_learns(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    reports: list[Report] = []
    fast = replace(
        recipe,
        optimizer=replace(recipe.optimizer, lr=5e-3),
        noise=replace(recipe.noise, power=0.3),  # low noise is learned sooner
    )
    train(fast, images, tmp_path, steps=150, on_report=reports.append)
    assert [r.step for r in reports] == [50, 100, 150]
    assert reports[-1].loss < 0.95 * reports[0].loss
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [50, 100, 150] and float(rows[0]["norm"]) > 0
    assert json.loads((tmp_path / "recipe.json").read_text()) == json.loads(
        json.dumps(recipes.as_table(fast))
    )
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".toml") == [
        "log.csv",
        "recipe.json",
        "state.pt",
    ]


def test_the_same_recipe_starts_alike_and_leaves_the_global_generator_alone(recipe: Recipe) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = start(recipe, "cpu"), start(recipe, "cpu")
    assert torch.equal(torch.rand(1), expected)
    for a, b, c in zip(
        one.network.parameters(), other.network.parameters(), one.ema.parameters(), strict=True
    ):
        assert torch.equal(a, b) and torch.equal(a, c) and not c.requires_grad


def test_ctrl_c_saves_and_stops(
    recipe: Recipe, images: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        one_step(*args)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training, "one_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert train(recipe, images, tmp_path, steps=100).step == 1
    assert read(tmp_path / "state.pt")["step"] == 1
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("saved", [True, False])
def test_half_a_step_is_not_saved(
    saved: bool,
    recipe: Recipe,
    images: Photos,
    tmp_path: Path,
    assert_equal: Callable[[Any, Any], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run's folder keeps the state saved last, and what comes of it is the same."""
    train(recipe, images, tmp_path / "whole", steps=4)
    monkeypatch.setattr(training, "SAVE_EVERY_S", 0.0 if saved else 1e9)
    update, updates = torch.optim.AdamW.step, []

    def failing(self: torch.optim.AdamW, *args: Any) -> Any:
        update(self, *args)
        updates.append(1)
        if len(updates) == 3:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(recipe, images, tmp_path / "parts", steps=4)
    assert (
        (read(tmp_path / "parts" / "state.pt")["step"] == 2)
        if saved
        else not list(tmp_path.glob("parts/*.pt"))
    )
    monkeypatch.undo()
    train(recipe, images, tmp_path / "parts", steps=4)
    assert assert_equal(*(read(tmp_path / run / "state.pt") for run in ("whole", "parts"))) > 100


def test_minutes_are_a_limit(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    assert train(recipe, images, tmp_path, minutes=0).step <= 1


def test_rates() -> None:
    recipe = Recipe("residual_unet", 4, 0.1, {}, optimizer=recipes.Optimizer(lr=2.0, warmup=4))
    assert [rate_at(recipe, step, None, None) for step in range(5)] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rate_at(recipe, 100, None, 200) == 2.0
    assert rate_at(recipe, 100, 100, 200) == 2.0
    assert rate_at(recipe, 150, 100, 200) == pytest.approx(1.0)
    assert rate_at(recipe, 200, 100, 200) == pytest.approx(0.0)
    assert rate_at(replace(recipe, optimizer=recipes.Optimizer(lr=2.0, warmup=0)), 0, None, None) == 2.0


def test_the_rate_fades_with_the_time() -> None:
    assert faded(1e6, None, 5.0) == faded(1e6, 10.0, None) == 1.0
    assert [faded(minute, 10.0, 4.0) for minute in (0, 6, 8, 10, 11)] == pytest.approx([1, 1, 0.5, 0, 0])


def test_a_run_fades_to_its_end(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    rates: list[float] = []
    train(
        recipe,
        images,
        tmp_path,
        minutes=0.02,
        decay_minutes=0.02,
        on_step=lambda state: rates.append(state.optimizer.param_groups[0]["lr"]),
    )
    after = rates[recipe.optimizer.warmup :]
    assert len(after) > 3 and after == sorted(after, reverse=True) and after[-1] < after[0] / 2


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there is one core
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_run_whose_batches_come_from_processes_is_the_same(
    recipe: Recipe, images: Photos, tmp_path: Path, assert_equal: Callable[[Any, Any], int]
) -> None:
    train(recipe, images, tmp_path / "thread", steps=3)
    train(recipe, images, tmp_path / "processes", steps=3, workers=2)
    assert assert_equal(*(read(tmp_path / run / "state.pt") for run in ("thread", "processes"))) > 100


def test_the_average_follows_the_weights(recipe: Recipe) -> None:
    state = start(recipe, "cpu")
    for parameter in state.network.parameters():
        parameter.data.fill_(1.0)
    for parameter in state.ema.parameters():
        parameter.data.fill_(0.0)
    state.step = 10**6
    state.update_ema(0.9)
    assert all(torch.allclose(p, torch.tensor(0.1)) for p in state.ema.parameters())
    state.step = 0  # early on it follows faster: (1 + 0) / (10 + 0) is kept
    state.update_ema(0.9)
    assert all(torch.allclose(p, torch.tensor(0.1 + 0.9 * 0.9)) for p in state.ema.parameters())
    assert all(torch.equal(p, torch.ones_like(p)) for p in state.network.parameters())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of(state: State) -> list[torch.Tensor]:
    return [p.detach().clone() for p in state.network.parameters()]


@pytest.mark.parametrize("what", ["large", "nan"])
def test_outliers_are_skipped(what: str, recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    state = start(recipe, "cpu")
    log = Log(tmp_path / "log.csv")
    if what == "large":
        state.norms = [1e-6] * 60  # what has been usual
    else:
        next(state.network.parameters()).data.fill_(math.nan)
    before, norms = weights_of(state), list(state.norms)
    with Batches(recipe, images) as batches:
        one_step(recipe, batches, state, log, None)
    assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(before, weights_of(state), strict=True))
    assert (state.skipped, state.step, state.norms) == (1, 1, norms)
    assert all(p.grad is None for p in state.network.parameters())


def test_a_usual_batch_is_not(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    state = start(recipe, "cpu")
    before = weights_of(state)
    with Batches(recipe, images) as batches:
        one_step(recipe, batches, state, Log(tmp_path / "log.csv"), None)
    assert state.skipped == 0 and len(state.norms) == 1
    assert not all(torch.equal(a, b) for a, b in zip(before, weights_of(state), strict=True))


def test_logs_of_earlier_versions_are_gone_on_with(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    """They have no column for detours."""
    train(recipe, images, tmp_path, steps=50)
    old = ",".join(COLUMNS[:-2]) + "\n" + "50,1.5,0.5,0.5,,0.1,0,0.001,0.05,9000\n"
    (tmp_path / "log.csv").write_text(old)
    train(recipe, images, tmp_path, steps=100)
    first, second = rows_of(tmp_path / "log.csv")
    assert list(first) == list(second) == COLUMNS
    assert (first["rate"], first["detours"], first["loss_low"]) == ("9000", "", "")
    assert second["detours"] == "0" and float(second["rate"]) > 0


def test_a_state_of_another_network(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    train(recipe, images, tmp_path / "run", steps=1)
    other = replace(recipe, network={**recipe.network, "width": 16})
    with pytest.raises(
        UsageError, match="does not fit the recipe: [0-9]+ of another shape .such as [a-z.]+."
    ) as told:
        train(other, images, tmp_path / "run", steps=2)
    assert len(str(told.value)) < 300  # not every weight there is
    with pytest.raises(UsageError, match="does not fit the recipe"):
        train(other, images, tmp_path / "new", steps=2, begin_with=tmp_path / "run" / "state.pt")
    with pytest.raises(UsageError, match="does not fit the recipe"):
        export(other, tmp_path / "run", tmp_path / "model")


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"PK\x03\x04" + bytes(50)], ids=["empty", "text", "zip"]
)
def test_a_damaged_state(content: bytes, recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        train(recipe, images, tmp_path, steps=1)
    assert (tmp_path / "state.pt").read_bytes() == content
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        export(recipe, tmp_path, tmp_path / "model")


def test_damage_never_ends_in_a_traceback(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    """Some of it is only to numbers, which nobody can see."""
    train(recipe, images, tmp_path / "run", steps=1)
    content = (tmp_path / "run" / "state.pt").read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for place in torch.randint(0, 5_000, (120,), generator=generator).tolist():
        (tmp_path / "state.pt").write_bytes(
            content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :]
        )
        try:
            read(tmp_path / "state.pt")
        except InputError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("content", [[1, 2], {"step": 1}, {"network": 3}, torch.zeros(2)], ids=str)
def test_something_else_than_a_state(content: object, recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "state.pt")
    for how in ({}, {"begin_with": tmp_path / "state.pt"}):
        with pytest.raises(InputError, match="is no training state"):
            train(recipe, images, tmp_path / "new" if how else tmp_path, steps=1, **how)


def test_a_run_is_gone_on_with_where_what_it_began_with_is_gone(
    recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    train(recipe, images, tmp_path / "one", steps=1)
    first = tmp_path / "one" / "state.pt"
    train(recipe, images, tmp_path / "two", steps=1, begin_with=first)
    first.unlink()
    assert train(recipe, images, tmp_path / "two", steps=2, begin_with=first).step == 2
    with pytest.raises(InputError, match="cannot be read"):
        train(recipe, images, tmp_path / "three", steps=2, begin_with=first)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_run_goes_on_with_the_recipe_that_is_given(
    kind: str, recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    of_kind = replace(recipe, optimizer=replace(recipe.optimizer, kind=kind))
    train(of_kind, images, tmp_path, steps=1)
    changes: dict[str, Any] = {"weight_decay": 0.5, "betas": (0.5, 0.6), "momentum": 0.3, "update_rms": 0.1}
    other = replace(of_kind, optimizer=replace(of_kind.optimizer, **changes))
    groups = train(other, images, tmp_path, steps=2).optimizer.param_groups
    assert all(group["weight_decay"] == 0.5 for group in groups)
    assert groups[-1]["betas"] == (0.5, 0.6)
    assert kind == "adamw" or (groups[0]["momentum"], groups[0]["rms"]) == (0.3, 0.1)


@pytest.mark.parametrize(
    "how",
    [
        {"decay_from": 1, "minutes": 0},
        {"decay_minutes": 1.0, "steps": 0},
        {"decay_from": 3, "steps": 2},
    ],
)
def test_a_decay_to_no_end(how: dict[str, Any], recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot decay"):
        train(recipe, images, tmp_path / "run", **how)
    assert not (tmp_path / "run").exists()


def test_an_empty_log_gets_its_header(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    (tmp_path / "log.csv").touch()
    train(recipe, images, tmp_path, steps=50)
    assert [row["step"] for row in rows_of(tmp_path / "log.csv")] == ["50"]


def test_a_full_disk_leaves_the_recipe_of_the_run(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    train(recipe, images, tmp_path, steps=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"recipe\.json cannot be written"):
            train(replace(recipe, seed=4), images, tmp_path, steps=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert recipes.of_run(tmp_path).seed == recipe.seed  # whole, and that of the state


def test_two_that_save_at_once_do_not_meet(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, saved = start(recipe, "cpu"), torch.save
    path, within = tmp_path / "state.pt", []

    def meeting(content: Any, file: Any) -> None:
        saved(content, file)
        if not within:
            within.append(1)
            state.save(path)  # as another process would in between

    monkeypatch.setattr(torch, "save", meeting)
    state.save(path)
    assert read(path)["step"] == 0 and list(tmp_path.glob("state*")) == [path]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "would not load"),
        ({"fidelity": 2.0}, "would not load"),
        ({"power": math.nan}, "would not load"),
        ({"sampler": "nope"}, "no sampler 'nope'"),
    ],
    ids=str,
)
def test_what_would_not_load_is_not_exported(
    options: dict[str, Any], says: str, recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    train(recipe, images, tmp_path / "run", steps=0)
    with pytest.raises(UsageError, match=says):
        export(recipe, tmp_path / "run", tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_only_what_the_run_was_made_with_is_exported(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    train(recipe, images, tmp_path / "run", steps=0)
    with pytest.raises(UsageError, match="another recipe: with another residual_std"):
        export(replace(recipe, residual_std=0.5), tmp_path / "run", tmp_path / "model")
    slower = replace(recipe, optimizer=replace(recipe.optimizer, lr=1e-5))  # which no model tells
    before = export(slower, tmp_path / "run", tmp_path / "model").read_bytes()
    with pytest.raises(OutputError, match="holds a model already"):
        export(recipe, tmp_path / "run", tmp_path / "model", steps=7)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    export(recipe, tmp_path / "run", tmp_path / "model", steps=7, overwrite=True)
    assert catalog.describe(str(tmp_path / "model")).steps == 7


@pytest.mark.parametrize("value", [math.nan, 1e5])
def test_weights_that_no_model_can_have_are_not_exported(
    value: float, recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    state = train(recipe, images, tmp_path / "run", steps=0)
    next(state.ema.parameters()).data.flatten()[0] = value
    state.save(tmp_path / "run" / "state.pt")
    with pytest.raises(UsageError, match="no numbers that float16 has"):
        export(recipe, tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("named", ["one", "one/state.pt"])
def test_beginning_with_another_run(named: str, recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    first = train(recipe, images, tmp_path / "one", steps=3)
    second = train(recipe, images, tmp_path / "two", steps=0, begin_with=tmp_path / named)
    assert second.step == 0
    for average, weight in zip(first.ema.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(average, weight)


def test_what_is_exported_is_the_average(recipe: Recipe, images: Photos, tmp_path: Path) -> None:
    state = train(recipe, images, tmp_path / "run", steps=3)
    export(recipe, tmp_path / "run", tmp_path / "mine-4x", steps=2, power=1.5, halo_px=7, stage_noise=0.01)
    restorer = Restorer.load(str(tmp_path / "mine-4x"), torch.float32, torch.device("cpu"))
    config = restorer.config
    assert (config.name, config.arch, config.scale, config.residual_std) == (
        "mine-4x",
        "residual_unet",
        4,
        0.12,
    )
    assert (config.steps, config.halo_px, config.stage_noise, config.grid["power"]) == (2, 7, 0.01, 1.5)
    for name, weight in restorer.network.state_dict().items():
        assert torch.equal(weight, state.ema.state_dict()[name].half().float()), name


def test_copies_are_independent(recipe: Recipe) -> None:
    """The average is no view of the weights."""
    state = start(recipe, "cpu")
    before = copy.deepcopy(state.ema.state_dict())
    next(state.network.parameters()).data.add_(1)
    assert all(torch.equal(before[name], value) for name, value in state.ema.state_dict().items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": {"magic": 1}}, "residual_unet network that cannot be built .*magic"),
        ({"network": {"width": "8"}}, "network that cannot be built"),
        ({"network": {"scale": 2}}, "another scale than 4"),
        ({"arch": "nothing"}, "unknown network architecture: 'nothing'"),
        ({"frozen": ("encodr.",)}, "freezes 'encodr.', and no weight"),
        ({"frozen": ("",)}, "freezes all weights"),
        ({"objective": "published", "chain": Chain(betas="nothing")}, "values out of range"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    change: dict[str, Any], says: str, recipe: Recipe, images: Photos, tmp_path: Path
) -> None:
    with pytest.raises(UpscaleError, match=says):
        train(replace(recipe, **change), images, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_said_and_leaves_the_last_state(recipe: Recipe, tmp_path: Path) -> None:
    state, path = start(recipe, "cpu"), tmp_path / "state.pt"
    state.save(path)

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        save = torch.save
        patch.setattr(torch, "save", lambda content, file: save(content, Full()))
        with pytest.raises(OutputError, match="the disk is full"):
            state.save(path)
    assert read(path)["step"] == 0
