"""A program: an engine with a part on each of two Ray nodes, which have a cache of their own, brings its files.

python two_nodes.py CONFIG ADDRESS CACHE CACHE
"""

from __future__ import annotations

import json
import sys

import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from llmworkflow_jobs.config import parse
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.model_files import with_files
from llmworkflow_jobs.storage import CACHE_ENV


class Engine:
    """Says where it is."""

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def main(config: str, address: str, *caches: str) -> None:
    cluster = Cluster()
    for cache in caches:
        cluster.add_node(num_cpus=1, env_vars={CACHE_ENV: cache}, include_dashboard=False)
    ray.init(address=cluster.address, log_to_driver=False)
    group = ray.util.placement_group([{"CPU": 1}] * len(caches), strategy="STRICT_SPREAD")
    ray.get(group.ready(), timeout=60)
    model = InferenceModel("there", "there", address=address)
    engine = with_files(Engine, model, parse(json.loads(config)))
    place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    actor = ray.remote(engine).options(num_cpus=1, scheduling_strategy=place).remote()
    assert ray.get(actor.node.remote(), timeout=120)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
