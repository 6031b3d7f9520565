"""Does one work on one runtime and prints its figure."""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> None:
    """Reads contender, work and amount from the command line."""
    contender, work, amount = sys.argv[1:]
    works = importlib.import_module(f"benchmarks.actors.{contender}_actors").WORKS
    print(json.dumps({"value": works[work](float(amount))}), flush=True)
    # The actors are still alive, ten thousand threads of them for a peer; joining those is no part of the figure.
    os._exit(0)


if __name__ == "__main__":
    main()
