"""What is measured of the operator, each in a function of its own."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from llmworkflow.kube.client import Api

from .blueprint import workflow_of
from .scene import Operator, Scene, cpu_of, operating, patience
from .stand_in import CHILD_KINDS, StandIn, name_of

IDLE_SECONDS = 5.0
APART_SECONDS = 0.25  # between jobs that end, where the time to the next child is taken
WHOLE_STAGES = ("tune", "score", "next", "chat")
START_LIMIT_SECONDS = 900.0
SETTLE_SECONDS = 5.0  # until all is written that has to do with what was measured


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    figure: str
    bound: str = ""

    def __str__(self) -> str:
        return f"| {self.what} | {self.figure} | {self.bound} |"


def idle(scene: Scene) -> list[Row]:
    """An operator with nothing to do."""
    with operating(scene) as operator:
        time.sleep(IDLE_SECONDS)
        return [Row("memory, idle", f"{operator.megabytes:.0f} MB", "90 MB")]


def start_up(operator: Operator, count: int) -> list[Row]:
    """How much CPU it takes until all are seen, and until each was looked at once."""
    seen = None
    for _ in patience(START_LIMIT_SECONDS):
        found = operator.metrics()
        looked = operator.looked_at()
        if seen is None and looked + found.get("llmworkflow_queue_depth", 0) >= count:
            seen = cpu_of(operator)
        if looked >= count:
            break
    return [
        Row("start-up until all are seen", f"<= {seen or cpu_of(operator):.1f} s of CPU", "25 s at 5,000"),
        Row("start-up until each was looked at", f"{cpu_of(operator):.1f} s of CPU"),
        Row("memory then, and at most so far", f"{operator.megabytes:.0f} MB, {operator.peak_megabytes:.0f} MB"),
    ]  # fmt: skip


def at_rest(scene: Scene, operator: Operator, seconds: float) -> list[Row]:
    """What it does while nothing happens."""
    mark, cpu, looks = scene.mark, cpu_of(operator), operator.looked_at()
    time.sleep(seconds)
    share = (cpu_of(operator) - cpu) / seconds
    writes = without(scene.writes(mark), "events", "leases")
    return [
        Row(f"at rest for {seconds:.0f} s, jobs running: CPU", f"{share:.1%} of a core", "2 %"),
        Row("at rest: looks at workflows", f"{operator.looked_at() - looks}"),
        Row("at rest: writes to workflows and children", f"{told(writes) or '0'}", "0"),
        Row("memory", f"{operator.megabytes:.0f} MB", "170 MB at 1,000, 420 MB at 5,000"),
    ]


@asynccontextmanager
async def standing_in(api: Api) -> AsyncIterator[StandIn]:
    """Somebody who runs what the operator creates."""
    stand_in = StandIn(api)
    versions = [await stand_in.list(resource) for resource in CHILD_KINDS]
    tasks = [
        asyncio.create_task(stand_in.follow(resource, version))
        for resource, version in zip(CHILD_KINDS, versions, strict=True)
    ]
    try:
        yield stand_in
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def next_child(stand_in: StandIn, numbers: range) -> list[Row]:
    """Seconds from a job's end to the next child, one workflow after the other."""
    waits = []
    for number in numbers:
        name = name_of(number)
        ended = await stand_in.end((name, "score"))
        waits.append(1000 * (await stand_in.until_born((name, "next")) - ended))
        await asyncio.sleep(APART_SECONDS)
    cuts = statistics.quantiles(waits, n=100)
    figure = f"p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, of {len(waits)}"
    return [Row("job done to next child created", figure, "p50 50 ms, p99 150 ms")]


async def burst(scene: Scene, stand_in: StandIn, operator: Operator, numbers: range) -> list[Row]:
    """How many stages a second it can advance when many jobs end at once, and who takes the CPU for that."""
    programs = {
        "operator": operator,
        "API server": scene.control_plane.apiserver,
        "etcd": scene.control_plane.etcd,
    }
    before = {name: cpu_of(program) for name, program in programs.items()}
    looks, asked, own, began = (
        operator.looked_at(),
        operator.requests(),
        time.process_time(),
        time.monotonic(),
    )
    names = [name_of(number) for number in numbers]
    gate = asyncio.Semaphore(16)

    async def end(name: str) -> None:
        async with gate:
            await stand_in.end((name, "score"))

    await asyncio.gather(*(end(name) for name in names))
    born = [await stand_in.until_born((name, "next")) for name in names]
    each = 1000 / len(names)
    taken = {name: each * (cpu_of(program) - before[name]) for name, program in programs.items()}
    taken["what plays KubeRay and the jobs"] = each * (time.process_time() - own)
    told = ", ".join(f"{name} {milliseconds:.0f} ms" for name, milliseconds in taken.items())
    rate = f"{len(names) / (max(born) - began):.0f} a second"
    alone = f"{1000 / taken['operator']:.0f} a second, by its CPU"
    return [
        Row(f"{len(names)} jobs end at once: stages advanced", rate, "aim: 50"),
        Row("CPU a stage", told),
        Row("stages that the operator would advance with a core of its own", alone),
        Row("looks a stage", f"{(operator.looked_at() - looks) / len(names):.1f}"),
        Row("requests a stage", each_of(operator.requests() - asked, len(names))),
    ]  # fmt: skip


async def whole_way(scene: Scene, stand_in: StandIn, count: int) -> list[Row]:
    """Workflows from the beginning through three jobs to the endpoint's creation: writes, and time added."""
    stages = [stage for stage in workflow_of("any")["spec"]["stages"] if stage["name"] in WHOLE_STAGES]
    await asyncio.sleep(SETTLE_SECONDS)
    stand_in.plays_on = True
    mark, added = scene.mark, []
    for number in range(count):
        name = f"whole-{number}"
        await asyncio.to_thread(scene.people.create, workflow_of(name, stages))
        await stand_in.until_born((name, WHOLE_STAGES[-1]))
        steps = list(pairwise(WHOLE_STAGES))
        born, ended = stand_in.born, stand_in.ended
        added.append(sum(born[name, after].result() - ended[name, before] for before, after in steps))
    await asyncio.sleep(SETTLE_SECONDS)
    writes = scene.writes(mark)
    counted = without(writes, "events", "leases").total() / count
    took = f"{statistics.median(added):.2f} s, at most {max(added):.2f} s"
    figure = f"{counted:.1f}, {counted / len(WHOLE_STAGES):.1f} a stage"
    return [
        Row("what the operator adds to three jobs, summed", took, "2 s"),
        Row("writes of a workflow of three jobs and a started endpoint", figure, "6 a stage"),
        Row("the same by kind", each_of(writes, count)),
    ]


def without(writes: Counter[str], *resources: str) -> Counter[str]:
    """The writes to other resources than these."""
    return Counter({what: number for what, number in writes.items() if what.split()[1] not in resources})


def told(writes: Counter[str]) -> str:
    """The writes for people."""
    return ", ".join(f"{number} {what}" for what, number in sorted(writes.items()))


def each_of(numbers: Counter[str], count: int) -> str:
    """How many of each there are for one of `count`, for people."""
    return ", ".join(f"{number / count:.1f} {what}" for what, number in sorted(numbers.items()))
