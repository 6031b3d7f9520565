"""One worker, as its parent starts it."""

from __future__ import annotations

import sys

from thousand_island.workers.child import main

if __name__ == "__main__":
    sys.exit(main())
