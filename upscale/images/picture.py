"""A picture in memory: what passes between the images room and the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

COMMENT = "Comment"  # PNG's keyword for one
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels.

    Attributes:
        exif: EXIF block without orientation and thumbnail, sizes updated when written; None if there is none.
        icc_profile: ICC profile that the colour values refer to; None means sRGB (or grey gamma).
        dpi: Resolution (x, y) in dots per inch; None if the file does not say.
        xmp: XMP packet; None if there is none.
        iptc: IPTC-IIM records (captions, credits); None if there are none.
        texts: Keyword and text of each text field of a PNG; a JPEG's or GIF's comment as `COMMENT`.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    Attributes:
        color: [H, W, 3] RGB or [H, W, 1] grey; uint8 or uint16, full range, not premultiplied.
        alpha: [H, W] of the same dtype, 0 is transparent; None where the file has no alpha.
        metadata: What the file says besides.
        format: Pillow's name of the format it was read from (`JPEG`, `PNG`, …); None for pictures made in
            memory.
        luma_step: How coarsely the file it was read from keeps its luma: mean step of a JPEG's quantisation
            table, 1 for the best quality, or of that of a JPEG as coarse; 0 where nothing says so.
        notes: Sentences on what could not be kept (`16-bit colour was reduced to 8 bits`), for the report.
        uncertainty: [H, W] uint8, where the samples of a result differ: their standard deviation, 255 is 32
            levels of 8 bits; None where nobody asked.
        framed: Whether it is one of an animation's frames, which must look alike.
        denoised: Of a result, how much noise was taken out of the input, 0 to 1 as `--denoise` counts.
        shrunk: Of a result, how many times smaller the input was made first, as `--shrink` counts.
        fidelity: Of a result, how near it is to the first estimate, 0 to 1; of a cascade in its first stage.
    """

    color: Pixels
    alpha: Pixels | None = None
    metadata: Metadata = field(default_factory=Metadata)
    format: str | None = None
    luma_step: float = 0.0
    notes: tuple[str, ...] = ()
    uncertainty: Pixels | None = None
    framed: bool = False
    denoised: float = 0.0
    shrunk: float = 1.0
    fidelity: float = 0.0

    def __post_init__(self) -> None:
        assert self.color.ndim == 3 and self.color.shape[2] in (1, 3), self.color.shape
        assert self.alpha is None or self.alpha.shape == self.color.shape[:2]
        assert self.alpha is None or self.alpha.dtype == self.color.dtype

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.color.shape[1], self.color.shape[0]

    @property
    def is_gray(self) -> bool:
        """Whether there is one colour channel."""
        return bool(self.color.shape[2] == 1)
