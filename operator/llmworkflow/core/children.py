"""What is to be done about the children: a comparison of what the stages need with what is there.

It depends on nothing but the status and the look, so a plan that was carried out in part is made again.
"""

from collections.abc import Iterator

from llmworkflow.core import promotions, revision
from llmworkflow.core.actions import Action, ApplyService, CreateChild, DeleteChild, Input, Work
from llmworkflow.core.graph import references
from llmworkflow.core.inputs import pinned
from llmworkflow.core.observation import ChildSeen
from llmworkflow.core.policies.incumbent import incumbents, input_of
from llmworkflow.core.view import View, World, keeps_child, verdict_of


def actions(world: World) -> Iterator[Action]:
    """Deletions first, so that what they free is there for what comes."""
    needed = [world.view(name) for name in world.specs if keeps_child(world.stages[name])]
    claimed = {view.seen.uid for view in needed if view.seen}
    for child in world.observed.children.values():
        if world.owns(child) and child.uid not in claimed and not child.terminating:
            yield DeleteChild(child.kind, child.name, child.uid, child.stage or _stage_of(world, child))
    for view in needed:
        if view.stage.name not in world.observed.unrenderable:
            yield from _for_stage(view)


def living(world: World) -> Iterator[CreateChild]:
    """The children that are there and needed, each as it would be made now."""
    for name in world.specs:
        view = world.view(name)
        if view.seen and not view.seen.terminating and keeps_child(view.status):
            yield CreateChild(view.seen.kind, view.seen.name, work_of(view))


def work_of(view: View) -> Work:
    """What the stage's child is told."""
    return _service_work(view) if view.stage.serve else _job_work(view)


def _for_stage(view: View) -> Iterator[Action]:
    child, seen = view.status.child, view.seen
    if child is None:
        return
    if seen is None and child.uid is None and view.named is None:
        yield CreateChild(child.kind, child.name, work_of(view))
    if seen and not seen.terminating and seen.kind == "RayService":
        work = work_of(view)
        if seen.edited or not view.told or seen.settings not in ("", work.settings):
            yield ApplyService(seen.name, seen.uid, work)


def _job_work(view: View) -> Work:
    status, world = view.status, view.world
    assert status.revision is not None, "a stage that starts has a revision"
    return Work(
        stage=status.name,
        kind=status.kind,
        revision=status.revision,
        attempt=status.attempt,
        inputs=dict(_inputs(view)),
        incumbents=incumbents(view),
        pinned=pinned(world.workflow, world.resolved, world.observed),
        settings=view.settings,
    )


def _service_work(view: View) -> Work:
    status, world = view.status, view.world
    target = status.candidate or status.serving
    assert target is not None, "a service that was requested has something to serve"
    workflow = promotions.spec_of(world, target)
    stage = next(stage for stage in workflow.spec.stages if stage.name == status.name)
    return Work(
        stage=status.name,
        kind=status.kind,
        revision=target.revision,
        attempt=status.attempt,
        inputs={name: input_of(name, verdict) for name, verdict in target.inputs.items()},
        pinned=pinned(world.workflow, world.resolved, world.observed),
        settings=revision.settings(workflow, stage),
        replay=target.replay,
        spec=target.spec,
    )


def _inputs(view: View) -> Iterator[tuple[str, Input]]:
    for name in references(view.stage):
        if verdict := verdict_of(view.world.stages[name]):
            yield name, input_of(name, verdict)


def _stage_of(world: World, child: ChildSeen) -> str:
    """The stage that had the child, where its label does not say."""
    owners = (name for name, stage in world.stages.items() if stage.child and stage.child.name == child.name)
    return next(owners, "")
