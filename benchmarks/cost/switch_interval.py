"""What the switch interval beside a computing callback does to the others: `python -m benchmarks.cost.switch_interval`.

Prints requests per second and latencies of 200 echo connections for several intervals, the watchdog's own among them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.load_generator import LoadGenerator, make_load_generator
from benchmarks.report import number, table_row
from benchmarks.rows.disturbances import disturbing
from benchmarks.rows.fairness import CONNECTIONS
from benchmarks.server_process import ServerProcess
from benchmarks.servers.thousand_island_servers import SWITCH_INTERVAL

#: Seconds; the first is CPython's own.
INTERVALS = (0.005, 0.001, 0.0002, 0.00005, 0.00002, 0.00001)

#: Seconds that are counted, and those that are not.
SECONDS, WARMUP = 2.0, 0.5


def main() -> None:
    """Prints one line for each interval."""
    print(table_row("interval (ms)", "requests/s", "p50 (ms)", "p99 (ms)", "worst (ms)"))
    print(table_row(*["--:"] * 5))
    with tempfile.TemporaryDirectory(prefix="switch-interval-") as directory:
        load = make_load_generator(Path(directory))
        for interval in INTERVALS:
            figures = _beside_computing(interval, load)
            cells = (number(figures[key]) for key in ("rate", "p50", "p99", "worst"))
            print(table_row(f"{interval * 1_000:g}", *cells), flush=True)


def _beside_computing(interval: float, load: LoadGenerator) -> Mapping[str, float]:
    with ServerProcess("thousand_island-disturbed", environment={SWITCH_INTERVAL: str(interval)}) as process:
        load.send_forerunners(process.port)
        with disturbing(process.port, "compute", 1):
            return load.run("echo", process.port, CONNECTIONS, SECONDS, WARMUP)


if __name__ == "__main__":
    main()
