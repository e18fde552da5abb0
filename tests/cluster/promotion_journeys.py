"""How an endpoint comes from what it serves to a successor, and back."""

from __future__ import annotations

from typing import Any

from llmworkflow.api.status import StageState as S

from .api import Object
from .job_journeys import tune
from .journeys import Journey, shows
from .scene import SECONDS, Scene, eventually
from .service_journeys import chat, served

JOURNEYS: list[Journey] = []


def tuned_chat(length: int = 4096, **more: Any) -> Object:
    """An endpoint of what `tune` makes."""
    models = [{"modelId": "chat", "model": {"stage": "tune"}, "engineKwargs": {"max_model_len": length}}]
    return {"name": "chat", "dependsOn": ["tune"], "serve": {"models": models, **more}}


def serves_another(scene: Scene, than: str) -> Object:
    """The status of the endpoint, once it serves another revision."""

    def look() -> Object | None:
        found = scene.stage("chat")
        return found if found["state"] == S.SERVING and found["serving"]["revision"] != than else None

    return eventually(look, SECONDS, f"{scene.namespace}: it serves another revision than {than}")


def clusters(scene: Scene) -> set[str]:
    """The Ray clusters of the endpoint."""
    found = scene.api.list("RayCluster", scene.namespace)
    return {
        cluster["metadata"]["uid"]
        for cluster in found
        if cluster["metadata"]["name"].startswith("viggo-chat")
    }


@shows(JOURNEYS, (S.SERVING, S.UPGRADING), (S.UPGRADING, S.SERVING))
def adapter_promoted_where_it_is_and_rolled_back(scene: Scene) -> None:
    scene.begin(tune(), tuned_chat())
    scene.until("chat", S.SERVING)
    first, engines = scene.stage("chat")["serving"], clusters(scene)
    scene.edit(tune(seed=1), tuned_chat())
    second = serves_another(scene, first["revision"])["serving"]
    assert clusters(scene) == engines, "no engine was started anew"
    scene.ask("rollback", "chat")
    back = serves_another(scene, second["revision"])
    assert (back["serving"]["revision"], back["serving"]["pinned"]) == (first["revision"], True)
    assert "rolled back" in back["message"]
    assert scene.workflow["status"]["history"][0]["revision"] == second["revision"]
    assert clusters(scene) == engines
    scene.edit(tune(seed=2), tuned_chat())
    third = serves_another(scene, first["revision"])["serving"]
    assert not third.get("pinned"), "the spec changed"


@shows(JOURNEYS, (S.SERVING, S.UPGRADING), (S.UPGRADING, S.SERVING))
def successor_beside_it(scene: Scene) -> None:
    child = served(scene)
    first, engines = scene.stage("chat")["serving"], clusters(scene)
    scene.edit(chat(length=8192))
    serves_another(scene, first["revision"])
    assert scene.child("chat")["metadata"]["uid"] == child["metadata"]["uid"], "so the URL stays"
    assert clusters(scene) > engines, "the old engines end a minute later"


@shows(JOURNEYS, (S.UPGRADING, S.STOPPING))
def successor_in_its_place(scene: Scene) -> None:
    scene.begin(tune(), tuned_chat(upgrade="replace"))
    scene.until("chat", S.SERVING)
    first, child, engines = scene.stage("chat")["serving"], scene.child("chat"), clusters(scene)
    scene.edit(tune(), tuned_chat(length=8192, upgrade="replace"))
    now = serves_another(scene, first["revision"])
    assert scene.child("chat")["metadata"]["uid"] != child["metadata"]["uid"]
    assert scene.child("chat")["metadata"]["name"] == child["metadata"]["name"], "so the URL stays"
    assert not clusters(scene) & engines, "the old engines are gone"
    assert len(clusters(scene)) == 1
    assert now.get("failures", 0) == 0
