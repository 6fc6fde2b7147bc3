"""What tests of colours share: small ICC profiles, version 2, whose light is the level."""

from __future__ import annotations

import struct

import pytest

SRGB_PRIMARIES = {  # XYZ, adapted to D50
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
D50 = (0.9642, 1.0, 0.8249)
LINEAR = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256)


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0none", b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50), **tags}
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(data), 0x02100000, b"mntr", space, b"XYZ ", b"acsp")
    return (head + _fixed(*D50)).ljust(128, b"\0") + table + data


@pytest.fixture(scope="session")
def linear_gray() -> bytes:
    """A profile for grey."""
    return _profile(b"GRAY", {b"kTRC": LINEAR})


@pytest.fixture(scope="session")
def linear_rgb() -> bytes:
    """A profile with the primaries of sRGB."""
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), LINEAR)
    primaries = {tag: b"XYZ \0\0\0\0" + _fixed(*xyz) for tag, xyz in SRGB_PRIMARIES.items()}
    return _profile(b"RGB ", primaries | curves)
