"""Output that says which worker it is from."""

from __future__ import annotations

import atexit
import io
import sys
import threading
from typing import Any, TextIO

from supervision.threads import library_call

__all__ = ["label_output"]


def label_output(label: str) -> None:
    """Begin each line of stdout and stderr with ``label``; not what C code writes past them."""
    sys.stdout = _LabelledStream(sys.stdout, label)
    sys.stderr = _LabelledStream(sys.stderr, label)


class _LabelledStream(io.TextIOBase):
    """Writes whole lines, each in one piece: those of several workers that share a file do not mix."""

    def __init__(self, stream: TextIO, label: str) -> None:
        self.stream = stream
        self.label = label
        self.rest = ""
        # Guards ``rest``, and the order of the lines.
        self.lock = threading.Lock()
        atexit.register(self.finish)

    @library_call
    def write(self, text: str) -> int:
        """Write the lines that are whole now."""
        with self.lock:
            *lines, self.rest = (self.rest + text).split("\n")
            if lines:
                self.stream.write("".join(f"{self.label}{line}\n" for line in lines))
                self.stream.flush()
        return len(text)

    def finish(self) -> None:
        """Write what is left of a last line without an end."""
        if self.rest:
            self.write("\n")

    def fileno(self) -> int:
        """The descriptor behind it."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Whether that is a terminal."""
        return self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        """Whatever else the stream has, such as ``reconfigure``, ``buffer`` and ``encoding``."""
        return getattr(self.stream, name)

    def writable(self) -> bool:
        """Yes."""
        return True
