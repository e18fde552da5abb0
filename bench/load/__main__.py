"""`python -m bench.load`: the operator under load, on a real API server; prints a table, and writes it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import measures
from .blueprint import make_blueprint
from .measures import Row
from .scene import Operator, Scene, operating, scene
from .stand_in import add_foreign_jobs, populate


class Table:
    """Lines that are printed as they come, and written to a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []

    def add(self, *rows: Row | str) -> None:
        """Show rows, or lines of text."""
        for row in rows:
            print(row, flush=True)
            self._lines.append(str(row))
        if self._path:
            self._path.write_text("\n".join(self._lines) + "\n")


def main() -> None:
    """Measure at every size, each in a cluster of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # and everything else with it
    options = _options()
    table = Table(options.output)
    table.add("# The operator under load", "", f"`{' '.join(['python -m bench.load', *sys.argv[1:]])}`")
    for number, count in enumerate(options.workflows):
        load = f"load average {os.getloadavg()[0]:.1f} before"
        table.add("", f"## {count:,} workflows, {2 * count:,} RayJobs", "")
        table.add(f"{os.cpu_count()} cores, shared with the API server and etcd; {load}.", "")
        table.add("| what | figure | bound |", "|---|---|---|")
        with tempfile.TemporaryDirectory(prefix="llmworkflow-bench-") as folder, scene(Path(folder)) as place:
            try:
                _measure(place, count, options, table)
                if options.foreign and number == 0:
                    _measure_with_foreign(place, count, options, table)
            finally:
                if options.log:
                    options.log.write_bytes((Path(folder) / "operator.log").read_bytes())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--workflows", type=int, nargs="+", default=[1000], help="with two running jobs each")
    parser.add_argument("--foreign", type=int, default=0, help="RayJobs of others, at the first size")
    parser.add_argument("--rest", type=float, default=60, help="seconds at rest")
    parser.add_argument("--samples", type=int, default=100, help="jobs that end one after the other")
    parser.add_argument("--burst", type=int, default=300, help="jobs that end at once")
    parser.add_argument(
        "--whole", type=int, default=10, help="workflows from their beginning to the endpoint"
    )
    parser.add_argument("--log", type=Path, help="where the operator's log is copied to")
    parser.add_argument("--output", type=Path, help="where the table is written to")
    return parser.parse_args()


def _measure(place: Scene, count: int, options: argparse.Namespace, table: Table) -> None:
    table.add(*measures.idle(place))
    began = time.monotonic()
    asyncio.run(_populate(place, count))
    table.add(Row("all of them written", f"in {time.monotonic() - began:.0f} s"))
    with operating(place) as operator:
        table.add(*measures.start_up(operator, count))
        table.add(*measures.at_rest(place, operator, options.rest))
        asyncio.run(_advance(place, operator, options, table))
        table.add(Row("memory, at most", f"{operator.peak_megabytes:.0f} MB"))


def _measure_with_foreign(place: Scene, count: int, options: argparse.Namespace, table: Table) -> None:
    asyncio.run(_foreign(place, options.foreign))
    table.add(Row(f"beside {options.foreign:,} RayJobs of others:", ""))
    with operating(place) as operator:
        table.add(*measures.start_up(operator, count))


async def _populate(place: Scene, count: int) -> None:
    async with place.connected() as api:
        await populate(api, place.people, make_blueprint(), count)


async def _foreign(place: Scene, count: int) -> None:
    async with place.connected() as api:
        await add_foreign_jobs(api, make_blueprint(), count)


async def _advance(place: Scene, operator: Operator, options: argparse.Namespace, table: Table) -> None:
    alone, together = range(options.samples), range(options.samples, options.samples + options.burst)
    async with place.connected() as api, measures.standing_in(api) as stand_in:
        table.add(*await measures.next_child(stand_in, alone))
        table.add(*await measures.burst(place, stand_in, operator, together))
        table.add(*await measures.whole_way(place, stand_in, options.whole))


if __name__ == "__main__":
    main()
