"""A stage that serves models behind an OpenAI endpoint."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import (
    MODEL_ID_PATTERN,
    JsonObject,
    MapBy,
    Name,
    Operational,
    Positive,
    Result,
    Rule,
    SpecModel,
    Text,
    at_most_one,
)
from llmworkflow.api.spec.addresses import ENDPOINT_SCHEMES, address_rule
from llmworkflow.api.spec.batch import Adapter
from llmworkflow.api.spec.common import EnvVar, Parallelism, Placement, SecretKeySource, StageRef

Seconds = Annotated[float, Field(ge=0)]


class Replicas(SpecModel):
    """How many copies of a model serve: between min and max, as requests come, which Ray Serve calls `auto`."""

    rules = (
        Rule(
            cel="self.min <= self.max",
            message="min must not be larger than max",
            holds=lambda replicas: replicas.min <= replicas.max,
        ),
    )

    min: Operational[Annotated[int, Field(ge=0)]] = 1
    """Fewest copies; 0 lets the model go when nobody asks, and the next request waits until it is back."""
    max: Operational[Positive] = 1
    """Most copies."""
    target_ongoing_requests: Operational[Positive] = 32
    """Requests in flight that each copy should have; more bring another copy."""
    upscale_delay_seconds: Operational[Seconds | None] = None
    """Seconds for which the load must last before a copy is added; Ray Serve's default when unset."""
    downscale_delay_seconds: Operational[Seconds | None] = None
    """Seconds for which the calm must last before a copy goes; Ray Serve's default when unset."""


class LoraServing(SpecModel):
    """Adapters that a copy of the model can hold."""

    max_rank: Operational[Annotated[int, Field(ge=1, le=512)]] = 16
    """Largest rank of an adapter, rounded up to one that the engine has."""
    max_loras: Operational[Positive] = 4
    """Adapters that can answer in one batch of the engine."""
    per_replica: Operational[Positive] = 16
    """Adapters that a copy keeps loaded."""


class ServedModel(SpecModel):
    """One model of the endpoint."""

    rules = (at_most_one("model", "adapters"),)

    model_id: Result[Annotated[str, Field(pattern=MODEL_ID_PATTERN, max_length=128)]]
    """The name that clients use; it stays the same over promotions."""
    model: Result[StageRef | None] = None
    """The stage whose adapter or model is served; the base model when unset."""
    adapters: Result[Annotated[list[Adapter], Field(min_length=1, max_length=64), MapBy("name")] | None] = (
        None
    )
    """Several adapters over the base model, reached as modelId:adapter."""
    source: Result[Text | None] = None
    """Another base model; spec.model.source when unset."""
    engine: Result[Literal["vllm", "sglang"]] = "vllm"
    """The inference engine; sglang is refused, as its answers could not be verified."""
    replicas: Operational[Replicas] = Replicas()
    """How many copies serve."""
    lora: Operational[LoraServing] = LoraServing()
    """Adapters that a copy can hold."""
    engine_kwargs: Result[JsonObject] = {}
    """The engine's own options, such as max_model_len."""
    parallelism: Operational[Parallelism] = Parallelism()
    """How one copy is spread over accelerators."""
    placement: Operational[Placement] = Placement()
    """Where the accelerators of one copy lie."""
    request_router: Operational[Literal["powerOfTwo", "prefixCache"]] = "powerOfTwo"
    """How requests find a copy: the less loaded of two, or the one that knows most of the prompt."""


class Verify(SpecModel):
    """Rows of the gated batch that are replayed through the endpoint before it counts as serving."""

    rows: Operational[Annotated[int, Field(ge=1, le=64)]] = 16
    """Number of rows replayed."""
    agreement: Operational[Annotated[float, Field(ge=0, le=1)]] = 0.95
    """Part of the rows that must be answered as the batch answered them."""


class Application(SpecModel):
    """A further application of the user's own beside the endpoint."""

    name: Result[Name]
    """Name of the application, unique in the stage."""
    import_path: Result[Text]
    """Where its code is: module:application, as Ray Serve has it."""
    route_prefix: Result[Annotated[str, Field(pattern=r"^/.+", max_length=256)]]
    """Path under which it answers, without / at its end; / and what the endpoint answers below it belong to that."""
    args: Result[JsonObject] = {}
    """Arguments of its builder."""
    pip: Result[Annotated[list[Text], Field(max_length=64)]] = []
    """Python packages of its own, as pip's requirements."""
    env: Operational[Annotated[list[EnvVar], Field(max_length=128), MapBy("name")]] = []
    """Environment variables of its own."""


class Tracing(SpecModel):
    """Traces of requests, by OpenTelemetry."""

    cel_rules = (address_rule("endpoint", ENDPOINT_SCHEMES),)

    endpoint: Operational[Text]
    """Address of an OTLP receiver: at port 4317 it is sent gRPC, at any other HTTP, to /v1/traces where it has no
    path."""
    sample_ratio: Operational[Annotated[float, Field(ge=0, le=1)]] = 1.0
    """Part of the requests that is traced."""


class Serve(SpecModel):
    """Serves models behind an OpenAI endpoint whose address and names outlive every promotion."""

    models: Result[Annotated[list[ServedModel], Field(min_length=1, max_length=16), MapBy("modelId")]]
    """Models of the endpoint."""
    applications: Result[Annotated[list[Application], Field(max_length=16), MapBy("name")]] = []
    """Further applications beside the endpoint.

    On a cluster HAProxy is in front of all. It leaves the header for multiplexed models unread; an application that
    needs it takes `RAY_SERVE_ENABLE_HA_PROXY: "0"` in `ray.env`.
    """
    api_keys_from: Operational[SecretKeySource | None] = None
    """Keys, one a line or separated by commas, of which every request must bring one; the endpoint is open when
    unset."""
    verify: Operational[Verify] = Verify()
    """Rows replayed through the endpoint before it counts as serving."""
    upgrade: Operational[Literal["surge", "replace"]] = "surge"
    """How a successor comes where a promotion in place is not possible: beside the old one, which takes twice the
    accelerators, or after it is gone."""
    tracing: Operational[Tracing | None] = None
    """Traces of requests; none when unset. A change starts the engines anew."""
