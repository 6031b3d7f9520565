"""What the figures were measured with, so that a reader can judge them."""

from __future__ import annotations

import os
import platform
import ssl
import sys
from importlib import metadata

#: Packages whose versions matter for the figures.
PACKAGES = ("thousand-island", "blinker", "pykka", "uvloop", "gevent", "trio", "cryptography")


def description() -> list[str]:
    """One line each for the machine, the Python and the packages."""
    return [
        f"Machine: {_cores()} cores ({_processor()}), {platform.system()} {platform.release()}, {platform.machine()}",
        f"Python: {platform.python_implementation()} {platform.python_version()}, {_gil()}; {ssl.OPENSSL_VERSION}",
        f"Packages: {', '.join(_versions())}",
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else "processor unknown"


def _gil() -> str:
    return "with the GIL" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without the GIL"


def _versions() -> list[str]:
    return [f"{name} {metadata.version(name)}" for name in PACKAGES if _installed(name)]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
