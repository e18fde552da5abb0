"""The samples as a person uses them: applied with kubectl, run by the operator to their end, and deleted again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from llmworkflow.api.status import StageState

from .api import Object
from .command import Person
from .conftest import Cluster
from .control_plane import PEOPLE
from .journeys import Journey, Played, play, selected
from .printed import commands
from .scene import Scene, eventually
from .supplies import for_samples, priority_class
from .test_schema import SAMPLES
from .workflows import left

SECONDS = 400  # for all of them, which go on at the same time; most of it is for a machine that is busy
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
PERSON = PEOPLE[0]
OWN = ["RoleBinding team"]  # the namespace's own

pytestmark = pytest.mark.timeout(1200)  # the first of the tests waits for all


def is_used(name: str, scene: Scene) -> None:
    """Apply a sample, do what it asks a person to do, wait for its end, and delete it."""
    scene.name = name
    _supply(scene)
    _type(scene, f"kubectl apply -f manifests/samples/{name}.yaml")
    if name == "queue":
        scene.change(_held_back(scene), spec={"suspend": False})
    if name == "approval":
        scene.until("score", StageState.AWAITING_APPROVAL)
        _type(scene, commands("docs/reference.md", "Actions"))
    _type(scene, f"kubectl wait --for=condition=Ready --timeout={SECONDS}s llmwf/{name}")
    header, row = _type(scene, f"kubectl get llmwf {name}").splitlines()
    assert header.split() == ["NAME", "STAGE", "STATUS", "READY", "SCORE", "URL", "AGE"]
    assert row.split()[1:-1] == _shown(scene)
    stages = scene.workflow["status"]["stages"]
    assert [stage["attempt"] for stage in stages] == [1] * len(stages)
    if name == "approval":
        assert scene.stage("score")["approval"]["user"] == PERSON
    _type(scene, f"kubectl delete llmwf {name}")
    eventually(lambda: left(scene.api, scene.namespace) == OWN, SECONDS, "nothing of it is left")


def documents_are_followed(scene: Scene) -> None:
    """Type what README and tutorial print."""
    _supply(scene)
    looked = _type(scene, commands("docs/tutorial.md", "2. Look before anything runs"))
    assert "viggo is valid, 3 stages" in looked
    assert "kind: RayService" in looked
    told = _type(scene, commands("README.md", "On a cluster"))
    assert "llmworkflow.llmworkflow.io/viggo condition met" in told
    assert "Events:" in told
    cleaned = _type(scene, commands("docs/tutorial.md", "7. Clean up"))
    assert 'llmworkflow.llmworkflow.io "viggo" deleted' in cleaned
    eventually(lambda: left(scene.api, scene.namespace) == OWN, SECONDS, "nothing of it is left")


JOURNEYS = [
    *(Journey(path.stem, partial(is_used, path.stem), ()) for path in SAMPLES),
    Journey("documents", documents_are_followed, ()),
]


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Mapping[str, Played]:
    """All that are asked for, at the same time."""
    priority_class(cluster.api, "batch")
    return play(cluster, tmp_path_factory.mktemp("operator"), selected(request, JOURNEYS))


@pytest.mark.capability("samples")
@pytest.mark.parametrize("name", [journey.name for journey in JOURNEYS])
def test_sample_comes_to_its_end_and_goes(played: Mapping[str, Played], name: str) -> None:
    if error := played[name].error:
        raise error


def _supply(scene: Scene) -> None:
    """A namespace with all that samples need, in which a person may do what the role `edit` may."""
    labels = {"metadata": {"labels": RESTRICTED}}
    scene.api.patch("Namespace", scene.namespace, None, labels)
    for_samples(scene.api, scene.namespace)
    scene.api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "team", "namespace": scene.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": PERSON}],
        }
    )
    # The API server takes a moment to know of new rights.
    _type(scene, "until kubectl auth can-i get llmworkflows; do sleep 0.5; done")


def _shown(scene: Scene) -> list[str]:
    """What `kubectl get` has of a sample in the end: STAGE STATUS READY SCORE URL. Every score of the fake is 0.81."""
    stages = scene.workflow["spec"]["stages"]
    metrics = [metric for stage in stages for metric in _measured(stage)[:1]]
    score = [metrics[-1], "0.81"] if metrics else []
    last, serving = stages[-1]["name"], [stage["name"] for stage in stages if "serve" in stage]
    if not serving:
        return [last, "Succeeded", "True", *score]
    url = f"http://{scene.name}-{serving[-1]}-serve-svc.{scene.namespace}.svc:8000"
    return [last, "Serving", "True", *score, url]


def _measured(stage: Object) -> list[str]:
    """What a stage is scored by, the gated metrics first."""
    gated = [gate["metric"] for gate in stage.get("gates", [])]
    return gated + stage.get("batch", {}).get("evaluate", {}).get("metrics", [])


def _type(scene: Scene, lines: str) -> str:
    home = scene.cluster.control_plane.folder / scene.namespace
    home.mkdir(exist_ok=True)
    return Person(scene.cluster, PERSON, scene.namespace, home).types(lines, SECONDS + 30)


def _held_back(scene: Scene) -> Object:
    """The job that waits for its queue; Kueue lets it go by taking `suspend` away."""
    child = scene.child("tune")

    def suspended() -> bool:
        found = scene.api.get("RayJob", child["metadata"]["name"], scene.namespace) or {}
        return bool(found.get("status", {}).get("jobDeploymentStatus") == "Suspended")

    eventually(suspended, SECONDS, "KubeRay holds the job back")
    return child
