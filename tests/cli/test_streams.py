"""What stands before the standard streams."""

from __future__ import annotations

import copy
import io

import pytest

from upscale.cli.streams import Messages, Results


def test_messages_that_cannot_be_written_are_left_out() -> None:
    """Closed, or called by a signal in the middle of another message."""
    closed = io.StringIO()
    closed.close()

    class Busy(io.StringIO):
        def write(self, text: str) -> int:
            raise RuntimeError("reentrant call")

    for stream in (closed, Busy()):
        messages = Messages(stream)
        assert messages.write("Interrupted") == 11
        messages.flush()


@pytest.mark.parametrize("kind", [Messages, Results])
def test_streams_can_be_copied(kind: type[Messages] | type[Results]) -> None:
    stream = io.StringIO()
    again = copy.copy(kind(stream))
    assert again.write("text") == 4 and stream.getvalue() == "text"
