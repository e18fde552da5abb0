"""`python -m bench.load`: the operator under load, on a real API server; prints a table."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from . import measures
from .blueprint import make_blueprint
from .measures import Row
from .scene import Operator, Scene, operating, scene
from .stand_in import add_foreign_jobs, populate


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--workflows", type=int, default=1000, help="with two running RayJobs each")
    parser.add_argument("--foreign", type=int, default=5000, help="RayJobs that belong to nobody here")
    parser.add_argument("--rest", type=float, default=60, help="seconds at rest")
    parser.add_argument("--samples", type=int, default=150, help="jobs that end one after the other")
    parser.add_argument("--burst", type=int, default=300, help="jobs that end at once")
    parser.add_argument("--log", type=Path, help="where the operator's log is copied to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmworkflow-bench-") as folder, scene(Path(folder)) as place:
        print("| what | figure | bound |\n|---|---|---|", flush=True)
        try:
            _measure(place, options)
        finally:
            if options.log:
                options.log.write_bytes((Path(folder) / "operator.log").read_bytes())


def _measure(place: Scene, options: argparse.Namespace) -> None:
    _show(measures.idle(place))
    began = time.monotonic()
    asyncio.run(_populate(place, options.workflows))
    seconds = time.monotonic() - began
    _show([Row(f"{options.workflows} workflows and twice as many RayJobs written", f"in {seconds:.0f} s")])
    with operating(place) as operator:
        _show(measures.start_up(operator, options.workflows))
        _show(measures.at_rest(place, operator, options.rest))
        if options.samples:
            asyncio.run(_advance(place, operator, options))
    if options.foreign:
        asyncio.run(_foreign(place, options.foreign))
        with operating(place) as operator:
            _show([Row(f"with {options.foreign} RayJobs of others", "")])
            _show(measures.start_up(operator, options.workflows))


async def _populate(place: Scene, count: int) -> None:
    async with place.connected() as api:
        await populate(api, place.people, make_blueprint(), range(count))


async def _foreign(place: Scene, count: int) -> None:
    async with place.connected() as api:
        await add_foreign_jobs(api, make_blueprint(), count)


async def _advance(place: Scene, operator: Operator, options: argparse.Namespace) -> None:
    alone, together = range(options.samples), range(options.samples, options.samples + options.burst)
    async with place.connected() as api, measures.standing_in(api) as stand_in:
        _show(await measures.next_child(stand_in, alone))
        _show(await measures.burst(stand_in, operator, together))
        _show(await measures.whole_way(place, stand_in))


def _show(rows: list[Row]) -> None:
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
