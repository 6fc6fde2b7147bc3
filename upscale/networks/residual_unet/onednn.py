"""The network as a CPU runs it: the same sums in fewer ways through memory.

Whatever follows a convolution (leaky ReLU, sum) becomes part of it, which oneDNN applies while it has the
sums at hand; one noise level's scale and shift become part of its weights; and these are laid out once, as
the processor wants them, instead of with every call. Results differ from the network's in rounding. Nothing
here can be differentiated.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from upscale.networks.residual_unet.network import (
    NEGATIVE_SLOPE,
    Blocks,
    Conv2d,
    Doubling,
    Encoder,
    Features,
    LevelEmbedding,
    ResidualUNet,
    Step,
)

LEVELS_KEPT = 8  # of each step, with weights of their own: more than the usual number of evaluations


@cache
def serves(dtype: torch.dtype) -> bool:
    """Whether this torch, on this processor, has the operators: they are not part of its public interface."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    x = torch.zeros(1, 1, 4, 4, dtype=dtype, device="cpu")
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        with torch.inference_mode(), torch.random.fork_rng(devices=()):  # new weights are drawn
            laid_out = LaidOut(Conv2d(1, 1).to(x))
            laid_out.add_to_(laid_out.activated(x), x)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return True


class LaidOut:
    """A convolution of channels-last pictures in its weights' dtype; the first one decides their layout."""

    def __init__(self, conv: Conv2d, weight: Tensor | None = None, bias: Tensor | None = None) -> None:
        """Take a convolution; `weight` and `bias` instead of its own, if given, in any dtype."""
        dtype = conv.weight.dtype
        self._weight = (conv.weight if weight is None else weight).detach().to(dtype)
        own = conv.bias if bias is None else bias
        assert own is not None
        self._bias = own.detach().to(dtype)
        self._geometry: tuple[Any, ...] = (conv.padding, conv.stride, conv.dilation, conv.groups)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x convolved."""
        return self._convolved(x, "none")

    def activated(self, x: Tensor) -> Tensor:
        """Return the leaky ReLU of x convolved."""
        return self._convolved(x, "leaky_relu", NEGATIVE_SLOPE)

    def add_to_(self, other: Tensor, x: Tensor) -> Tensor:
        """Add x convolved to `other`, and return that."""
        y: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, self._laid_out_for(x), self._bias, *self._geometry, "add", None, None, [], None
        )
        return y

    def _convolved(self, x: Tensor, then: str, *numbers: float) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self._laid_out_for(x), self._bias, *self._geometry, then, list(numbers), ""
        )
        return y

    def _laid_out_for(self, x: Tensor) -> Tensor:
        weight = self._weight  # read once: another thread may lay it out meanwhile
        if not weight.is_mkldnn:
            self._weight = weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight.contiguous(), *self._geometry, list(x.shape)
            )
        return weight


class DoublingLaidOut:
    """`Doubling`, added to what lies channels last."""

    def __init__(self, up: Doubling) -> None:
        # The four places before the channels, as they lie in memory: no shuffle.
        assert up.bias is not None
        weight, bias = (w.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1) for w in (up.weight, up.bias))
        self._conv = LaidOut(up, weight, bias)

    def add_to_(self, other: Tensor, x: Tensor) -> Tensor:
        """Add what x [B, inputs, H/2, W/2] becomes to `other` [B, outputs, H, W], and return that."""
        y = self._conv(x).unflatten(1, (2, 2, -1))
        places = other.unflatten(2, (-1, 2)).unflatten(4, (-1, 2))  # [B, outputs, H/2, 2, W/2, 2]
        places.add_(y.permute(0, 3, 4, 1, 5, 2))
        return other


class Fixed(NamedTuple):
    """A block at one level; its second convolution is that of all levels."""

    first: LaidOut
    second: LaidOut


class AtLevels:
    """Runs of blocks that are told one level, which becomes part of their weights; the latest are kept."""

    def __init__(self, embed: LevelEmbedding, *runs: Blocks) -> None:
        self._embed = embed
        blocks: list[list[Any]] = [list(run) for run in runs]
        self._runs = [[(block, LaidOut(block.conv2)) for block in run] for run in blocks]
        self.at = lru_cache(LEVELS_KEPT)(self._at)

    def _at(self, level: float) -> list[list[Fixed]]:
        """Return each run at that level."""
        embedding = self._embed(torch.tensor([level], dtype=torch.float32, device="cpu"))

        def fixed(block: Any, second: LaidOut) -> Fixed:
            return Fixed(LaidOut(block.conv1, *block.conv1.folded(*block.modulation(embedding))), second)

        return [[fixed(*pair) for pair in run] for run in self._runs]


def run_(x: Tensor, blocks: list[Fixed]) -> Tensor:
    """Return x after all blocks, in the memory of x."""
    for first, second in blocks:
        x = second.add_to_(x, first.activated(x))
    return x


class EncoderLaidOut:
    """An `Encoder`."""

    def __init__(self, encoder: Encoder) -> None:
        self._stem, self._down = LaidOut(encoder.stem), LaidOut(encoder.down)
        self._outer_out, self._inner_out = LaidOut(encoder.outer_out), LaidOut(encoder.inner_out)
        self._blocks = AtLevels(encoder.embed, encoder.outer, encoder.inner)

    def __call__(self, lr: Tensor, level: Tensor) -> Features:
        """As `Step.encode`, at one level [1]."""
        outer, inner = self._blocks.at(level.item())
        h = run_(self._stem(lr), outer)
        g = run_(self._down(h), inner)
        return Features(self._outer_out(h), self._inner_out(g))


class StepLaidOut:
    """A `Step`, at one level of each batch.

    Attributes:
        encoder: As the step's.
    """

    def __init__(self, step: Step) -> None:
        self.encoder = EncoderLaidOut(step.encoder) if step.encoder else None
        self._stem, self._down, self._up = LaidOut(step.stem), LaidOut(step.down), DoublingLaidOut(step.up)
        self._blocks = AtLevels(step.embed, step.before, step.inner, step.after)
        # Its two inputs each with their part of the weights: laying them side by side takes longer than
        # convolving them.
        width = step.stem.out_channels
        self._of_h = LaidOut(step.head, step.head.weight[:, :width])
        no_bias = step.head.weight.new_zeros(step.head.out_channels)
        self._of_x = LaidOut(step.head, step.head.weight[:, width:], no_bias)

    def encode(self, lr: Tensor, level: Tensor) -> Features:
        """As `Step.encode`, at one level [1]."""
        assert self.encoder is not None
        return self.encoder(lr, level)

    def __call__(self, x: Tensor, level: Tensor, features: Features) -> Tensor:
        """As `Step.forward`, at one level [1]; x and features stay as they are."""
        before, inner, after = self._blocks.at(level.item())
        h = run_(self._stem(x).add_(features.outer), before)
        g = run_(self._down(h).add_(features.inner), inner)
        h = run_(self._up.add_to_(h, g), after)
        return self._of_x.add_to_(self._of_h(h), x)


class NetworkLaidOut(StepLaidOut):
    """A `ResidualUNet`, whose weights must stay as they are.

    Attributes:
        first: As the network's.
        last: As the network's.
    """

    def __init__(self, network: ResidualUNet) -> None:
        super().__init__(network)
        self.first = StepLaidOut(network.first) if network.first else None
        self.last = StepLaidOut(network.last) if network.last else None
