"""Formats that Pillow reads with the help of another package, loaded when the first such file is met."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

from upscale.errors import InputError


@dataclass(frozen=True)
class _Plugin:
    """A package that teaches Pillow a format.

    Attributes:
        title: What people call the format.
        signature: What its files begin with.
        suffixes: Endings of their names.
        extra: Of our package, that installs it.
        module: To import; then `register`, if there is one, is called in it.
    """

    title: str
    signature: re.Pattern[bytes]
    suffixes: tuple[str, ...]
    extra: str
    module: str
    register: str | None = None


_PLUGINS = (
    _Plugin(
        "HEIC",
        re.compile(rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL),  # ISO 23008-12, 10.2 and B.4
        (".heic", ".heif", ".hif"),
        "heif",
        "pillow_heif",
        "register_heif_opener",
    ),
    _Plugin(
        "JPEG XL",
        re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),  # ISO 18181-2, bare or boxed
        (".jxl",),
        "jxl",
        "pillow_jxl",
    ),
)
SUFFIXES = frozenset(suffix for plugin in _PLUGINS for suffix in plugin.suffixes)
_AVIF = re.compile(rb"avi[fs]")  # another brand of the same container, which Pillow reads by itself


def load_for(head: bytes, name: str) -> None:
    """Load what a file that begins with `head` needs, if anything.

    Raises:
        InputError: It is not installed, or does not work here.
    """
    for plugin in _PLUGINS:
        if not plugin.signature.match(head) or _AVIF.search(head[:64]):
            continue
        try:
            module = importlib.import_module(plugin.module)
            if plugin.register is not None:
                getattr(module, plugin.register)()
        except Exception as error:  # a package of another version or platform
            missing = isinstance(error, ModuleNotFoundError)
            reason = f"needs the package {plugin.module}" if missing else f"cannot be read here ({error})"
            raise InputError(
                f"{name} is {plugin.title}, which {reason}.",
                hint=f"pip install 'upscale[{plugin.extra}]', or convert it to JPEG or PNG.",
            ) from None
