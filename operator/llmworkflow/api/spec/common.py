"""Small models that several parts of the spec share."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import (
    JsonObject,
    MapBy,
    Name,
    Operational,
    Quantity,
    Result,
    Rule,
    SpecModel,
    Text,
    at_most_one,
)

PlacementStrategy = Literal["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"]
VariableName = Annotated[str, Field(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=256)]


class SecretKey(SpecModel):
    """One key of a Secret in the namespace of the workflow."""

    name: Operational[Text]
    """Name of the Secret."""
    key: Operational[Text]
    """Key of the Secret whose value is read."""


class SecretKeySource(SpecModel):
    """A value that is read from a Secret and is never written anywhere else."""

    secret_key_ref: Operational[SecretKey]
    """The Secret and the key in it."""


class SecretName(SpecModel):
    """A Secret by name."""

    name: Operational[Text]
    """Name of a Secret in the namespace of the workflow."""


class SecretSource(SpecModel):
    """All keys of a Secret, as environment variables of the jobs."""

    secret_ref: Operational[SecretName]
    """The Secret; its keys are named as the storage's client expects, such as AWS_ACCESS_KEY_ID."""


class EnvVar(SpecModel):
    """An environment variable, as in a container."""

    rules = (at_most_one("value", "valueFrom"),)

    name: Operational[VariableName]
    """Name of the variable."""
    value: Operational[str | None] = None
    """Value of the variable; empty when neither this nor valueFrom is set."""
    value_from: Operational[JsonObject | None] = None
    """Where the value comes from, as in a container: secretKeyRef, configMapKeyRef or fieldRef."""


class Resources(SpecModel):
    """What the Ray head or a Ray worker asks for, and where it may run."""

    layered = True

    cpu: Operational[Quantity | None] = None
    """CPUs, as request and limit; the installation's default when unset."""
    memory: Operational[Quantity | None] = None
    """Memory, as request and limit; the installation's default when unset."""
    shared_memory: Operational[Quantity | None] = None
    """Size of /dev/shm, where Ray keeps objects; the installation's default when unset."""
    ray_start_params: Operational[dict[str, str]] = {}
    """Parameters of `ray start`, over the operator's own."""
    pod_template: Operational[JsonObject] = {}
    """A pod template that is merged over the rendered one; containers are matched by name."""


class Accelerator(SpecModel):
    """GPUs of one worker: a profile of the installation by name, or written out."""

    layered = True

    rules = (
        Rule(
            cel="!has(self.count) || self.count <= 1.0 || self.count == double(int(self.count))",
            message="count is a whole number, or a fraction of one accelerator",
            holds=lambda accelerator: accelerator.count <= 1 or accelerator.count == int(accelerator.count),
        ),
    )

    name: Operational[Text | None] = None
    """Profile of the installation, such as l4, whose fields are used where they are not set here."""
    count: Operational[Annotated[float, Field(ge=0, le=64)]] = 1
    """Accelerators of each worker: a whole number, a fraction to share one, or 0 for CPUs only."""
    type: Operational[Text | None] = None
    """Ray's name of the accelerator, such as L4 or H100; any type when unset."""
    resource: Operational[Text] = "nvidia.com/gpu"
    """The extended resource by which nodes offer the accelerator."""
    node_selector: Operational[dict[str, str]] = {}
    """Labels that a node must have."""
    tolerations: Operational[list[JsonObject]] = []
    """Taints that the pods tolerate, as in a pod."""
    preferences: Operational[list[JsonObject]] = []
    """Preferred node affinity terms, as in a pod, such as spot nodes before on-demand ones."""


OWN_GROUP, INGRESS_GROUP = "workers", "ingress"
OWN_GROUPS = (OWN_GROUP, INGRESS_GROUP)


class WorkerGroup(Resources):
    """A further group of workers beside the default one."""

    rules = (
        Rule(
            cel="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            message="minReplicas must not be larger than maxReplicas",
            holds=lambda group: (
                group.min_replicas is None
                or group.max_replicas is None
                or group.min_replicas <= group.max_replicas
            ),
        ),
        Rule(
            cel="!(self.name in ['workers', 'ingress'])",
            message="workers and ingress are groups of the operator's own; choose another name",
            holds=lambda group: group.name not in OWN_GROUPS,
        ),
    )

    name: Operational[Name]
    """Name of the group, unique among the groups."""
    replicas: Operational[Annotated[int, Field(ge=0)]] = 1
    """Workers of the group at the start."""
    min_replicas: Operational[Annotated[int, Field(ge=0)] | None] = None
    """Fewest workers when the group scales; `replicas` when unset."""
    max_replicas: Operational[Annotated[int, Field(ge=1)] | None] = None
    """Most workers when the group scales; `replicas` when unset."""
    accelerator: Operational[Accelerator | None] = None
    """Accelerators of each of these workers; none when unset."""


class GcsFaultTolerance(SpecModel):
    """Keeps the state of a Ray head in Redis, so that the cluster outlives its head."""

    redis_address: Operational[Text]
    """Address of the Redis server, host:port."""
    redis_password: Operational[SecretKeySource | None] = None
    """Password of the Redis server; none when unset."""


class RaySettings(SpecModel):
    """How Ray clusters are made: defaults for every stage, or one stage's own.

    A field that a stage sets takes the place of the workflow's; head and worker are merged field by field, env
    by name.
    """

    layered = True

    image: Result[Text | None] = None
    """Image of the Ray pods; the installation's jobs image when unset."""
    accelerator: Operational[Accelerator | None] = None
    """Accelerators of each worker; workers run on CPUs when unset."""
    head: Operational[Resources | None] = None
    """The Ray head, on which no work of the stage runs."""
    worker: Operational[Resources | None] = None
    """The Ray workers, on which the work of the stage runs."""
    worker_groups: Operational[Annotated[list[WorkerGroup], Field(max_length=16), MapBy("name")]] = []
    """Further groups of workers, for clusters with different kinds of nodes."""
    pip: Result[Annotated[list[Text], Field(max_length=64)]] = []
    """Python packages that are installed into the jobs' environment, as pip's requirements."""
    env: Operational[Annotated[list[EnvVar], Field(max_length=128), MapBy("name")]] = []
    """Environment variables of the Ray pods."""
    env_from: Operational[list[JsonObject]] = []
    """Secrets and ConfigMaps that become environment variables, as in a container."""
    image_pull_secrets: Operational[Annotated[list[SecretName], Field(max_length=16), MapBy("name")]] = []
    """Secrets for pulling the image."""
    service_account_name: Operational[Text | None] = None
    """Service account of the Ray pods; one that the operator makes when unset."""
    queue: Operational[Text | None] = None
    """Kueue LocalQueue that admits the stage; it starts at once when unset."""
    priority_class_name: Operational[Text | None] = None
    """Priority class of the Ray pods; the cluster's default when unset."""
    gcs_fault_tolerance: Operational[GcsFaultTolerance | None] = None
    """Redis behind the Ray head of a serving stage; a lost head restarts the endpoint when unset."""
    spread_zones: Operational[bool] = False
    """Spread the workers over the zones of the cluster."""


class StageRef(SpecModel):
    """What an earlier stage made."""

    stage: Result[Name]
    """Name of the stage; it must be among the stages that this one depends on, over any number of steps."""


class Parallelism(SpecModel):
    """How one engine is spread over accelerators."""

    tensor: Result[Annotated[int, Field(ge=1, le=64)]] = 1
    """Accelerators that share each layer."""
    pipeline: Result[Annotated[int, Field(ge=1, le=64)]] = 1
    """Groups of accelerators that hold consecutive layers."""
    data: Operational[Annotated[int, Field(ge=1, le=64)]] = 1
    """Copies of the engine that share the rows of a batch; of a served model, copies are its replicas."""


class Placement(SpecModel):
    """Where the accelerators of one engine lie."""

    strategy: Operational[PlacementStrategy] = "PACK"
    """Ray's placement strategy for the processes of one engine."""
    bundle: Operational[dict[str, float]] = {}
    """Ray resources of each process of the engine, over the derived ones."""
