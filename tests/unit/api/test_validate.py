"""What is wrong with a workflow as a whole is said in one line: field, value and remedy."""

# ruff: noqa: E501 -- a table of whole lines

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.api.validate import check, validate
from llmworkflow_jobs.prompt import fill

from .examples import EXAMPLES, FULL, content, edited
from .problems import BATCH, ELASTIC, GATES, SERVED, STAGES, TUNE, problems

WRONG: list[tuple[tuple[str | int, ...], Any, str]] = [
    # names
    (("metadata", "name"), "x" * 64, f'metadata.name = "{"x" * 59}…: has 64 characters; use at most 63'),
    (("metadata", "name"), "My_Flow", 'metadata.name = "My_Flow": is no name of a Kubernetes resource; use lower-case letters, digits, - and ., beginning and ending with a letter or digit'),
    (("metadata", "namespace"), "../up", 'metadata.namespace = "../up": is no name of a namespace; use up to 63 lower-case letters, digits and -, a letter or digit first and last'),
    # dependencies
    ((*STAGES, 1, "dependsOn"), ["tune", "score"], 'spec.stages[1].dependsOn[1] = "score": a stage cannot refer to itself; name an earlier stage'),
    ((*STAGES, 1, "dependsOn"), ["tune", "chat"], 'spec.stages[1].dependsOn[1] = "chat": this stage comes later; move it before this one'),
    ((*STAGES, 2, "dependsOn"), ["scor"], 'spec.stages[2].dependsOn[0] = "scor": there is no stage of this name; did you mean score?'),
    ((*STAGES, 0, "dependsOn"), ["gone"], 'spec.stages[0].dependsOn[0] = "gone": the first stage has no earlier one to refer to; remove the field'),
    # references
    ((*BATCH, "model", "stage"), "tuna", 'spec.stages[1].batch.model.stage = "tuna": there is no stage of this name; did you mean tune?'),
    ((*BATCH, "model", "stage"), "chat", 'spec.stages[1].batch.model.stage = "chat": this stage comes later; move it before this one'),
    ((*SERVED, "model", "stage"), "score", 'spec.stages[2].serve.models[0].model.stage = "score": is a batch stage; name a fineTune stage'),
    ((*BATCH, "input"), {"stage": "tune"}, 'spec.stages[1].batch.input.stage = "tune": is a fineTune stage; name a batch stage'),
    ((*GATES, 1, "betterThan"), "tune", 'spec.stages[1].gates[1].betterThan = "tune": is a fineTune stage; name a batch stage'),
    ((*STAGES, 2, "dependsOn"), [], 'spec.stages[2].serve.models[0].model.stage = "tune": stage chat does not depend on it, and could start before it is done; add tune to dependsOn'),
    ((*TUNE, "training", "globalBatchSize"), 30, "spec.stages[0].fineTune.training.globalBatchSize = 30: cannot be shared by 4 workers with perDeviceTrainBatchSize 1; make it a multiple of 4"),
    ((*TUNE, "data", "validation"), ..., "spec.stages[0].fineTune.training.loadBest = true: the best checkpoint is told by validation rows, and there are none; set data.validation or data.split"),
    ((*TUNE, "training", "saveSteps"), 70, "spec.stages[0].fineTune.training.loadBest = true: checkpoints, every 70 steps, fall between evaluations, every 50; make saveSteps a multiple of evalSteps"),
    ((*TUNE, "workers"), ELASTIC, "spec.stages[0].fineTune.workers.min = 2: elastic workers cannot wait in a queue (team-a), which admits a fixed number; set workers.count, or take ray.queue away"),
    ((*TUNE, "lora", "targetModules"), "q_proj", 'spec.stages[0].fineTune.lora.targetModules = "q_proj": is neither all nor a list of names; write [q_proj]'),
    # batch
    ((*BATCH, "engineKwargs"), {"max_model_len": 250}, "spec.stages[1].batch.sampling.maxTokens = 250: leaves no room for a prompt in engineKwargs.max_model_len 250; lower maxTokens, or raise max_model_len"),
    ((*BATCH, "evaluate", "metrics"), ["exactMatch", "exactMatch"], 'spec.stages[1].batch.evaluate.metrics[1] = "exactMatch": is listed twice; remove one'),
    ((*BATCH, "evaluate", "metrics"), ["exactMatch", "tokenf1"], 'spec.stages[1].batch.evaluate.metrics[1] = "tokenf1": there is no metric of this name; give module:function for one of your own, or did you mean tokenF1?'),
    ((*BATCH, "evaluate", "regex"), "a(b", 'spec.stages[1].batch.evaluate.regex = "a(b": is no regular expression of Python: missing ), unterminated subpattern at position 1; correct it'),
    ((*BATCH, "input", "limit"), 50, "spec.stages[1].batch.evaluate.minRows = 100: no gate can pass: the input has at most 50 rows; raise the input's limit, or lower minRows"),
    (("spec", "prompt"), {"format": "custom", "custom": {"user": "{{ row.q }}"}}, 'spec.stages[1].batch.evaluate.metrics[0] = "exactMatch": has no reference to compare with; set spec.prompt.custom.response'),
    # templates
    ((*BATCH, "postprocess"), "{{ text", "spec.stages[1].batch.postprocess = \"{{ text\": is no template of Jinja2: line 1: unexpected end of template, expected 'end of print statement'.; correct it"),
    ((*BATCH, "postprocess"), "{{ texts }}", 'spec.stages[1].batch.postprocess = "{{ texts }}": there is no texts in it; did you mean text?'),
    ((*BATCH, "turns"), ["Why?", "{{ row.a | upperr }}"], 'spec.stages[1].batch.turns[1] = "{{ row.a | upperr }}": there is no filter upperr; did you mean upper?'),
    ((*BATCH, "prompt"), {"format": "custom", "custom": {"user": "{{ rows.q }}", "response": "{{ row.a }}"}}, 'spec.stages[1].batch.prompt.custom.user = "{{ rows.q }}": there is no rows in it; did you mean row?'),
    ((*BATCH, "evaluate", "regex"), "a", 'spec.stages[1].batch.evaluate.regex = "a": no metric reads it; add regex to metrics, or remove it'),
    # gates
    ((*STAGES, 2, "dependsOn"), ["tune"], 'spec.stages[2].serve.models[0].model.stage = "tune": stage score judges it, and stage chat would serve it without waiting for that; add score to dependsOn'),
    ((*GATES, 0), {"metric": "exactMatch", "min": 65}, "spec.stages[1].gates[0].min = 65.0: no gate can pass: exactMatch is at most 1; write a share, such as 0.65"),
    ((*GATES, 0), {"metric": "exactMatch", "max": -1}, "spec.stages[1].gates[0].max = -1.0: no gate can pass: exactMatch is at least 0; write a share, such as 0.65"),
    ((*GATES, 0), {"metric": "exactMatch", "min": 0.5, "by": 0.1}, "spec.stages[1].gates[0].by = 0.1: a gate that compares with nothing has no use for it; remove it, or set betterThan"),
    ((*GATES, 0), {"metric": "exactMatch", "min": 0.5, "confidence": 0.9}, "spec.stages[1].gates[0].confidence = 0.9: a gate that compares with nothing has no use for it; remove it, or set betterThan"),
    ((*GATES, 1, "betterThan"), "servin", 'spec.stages[1].gates[1].betterThan = "servin": there is no stage of this name; did you mean serving?'),
    ((*GATES, 0, "metric"), "exactmatch", 'spec.stages[1].gates[0].metric = "exactmatch": the stage does not measure this metric; add it to batch.evaluate.metrics, or did you mean exactMatch?'),
    ((*STAGES, 0, "gates"), [{"metric": "evaloss", "max": 1}], 'spec.stages[0].gates[0].metric = "evaloss": training reports no such metric; did you mean evalLoss?'),
    ((*STAGES, 0, "gates"), [{"metric": "evalLoss", "betterThan": "base"}], 'spec.stages[0].gates[0].betterThan = "base": only the rows of a batch can be compared; put the gate on a batch, or use min or max'),
    ((*STAGES, 2, "gates"), [{"metric": "exactMatch", "min": 1}], "spec.stages[2].gates: a serve stage has no metrics; put the gates on the batch that scores the model"),
    # adapters
    ((*TUNE, "lora", "rank"), 32, "spec.stages[2].serve.models[0].lora.maxRank = 16: the adapter of stage tune has rank 32; raise maxRank to 32, or lower the rank"),
    ((*SERVED, "source"), "hf://a/b", 'spec.stages[2].serve.models[0].source = "hf://a/b": stage tune tunes spec.model.source, no other model; remove source'),
    # addresses
    ((*TUNE, "data", "train", 0), {"uri": "https://host/dataset_info.json", "dataset": "viggo"}, 'spec.stages[0].fineTune.data.train[0].dataset = "viggo": an entry names a file in the folder of its dataset_info.json, and uri is no folder; copy the folder to one of volume:, s3://, gs://, file://, or leave dataset out and name the file itself in uri'),
    (("spec", "model", "source"), "ftp://a/b", 'spec.model.source = "ftp://a/b": the scheme ftp is not known here; begin it with hf://, s3://, gs://, volume:, file://'),
    (("spec", "model", "source"), "hf://", 'spec.model.source = "hf://": is no complete address; write hf://…'),
    (("spec", "model", "source"), "hf:org/name", 'spec.model.source = "hf:org/name": is no complete address; write hf://…'),
    (("spec", "model"), {"source": "volume:../secrets"}, 'spec.model.source = "volume:../secrets": leaves the volume; write a path without ..'),
    ((*BATCH, "input", "uri"), "test.jsonl", 'spec.stages[1].batch.input.uri = "test.jsonl": a path of one machine means nothing on a cluster; begin it with volume:, s3://, gs://, hf://, https://, http://, file://'),
    ((*TUNE, "data", "train", 0, "uri"), "/data/a.jsonl", 'spec.stages[0].fineTune.data.train[0].uri = "/data/a.jsonl": a path of one machine means nothing on a cluster; begin it with volume:, s3://, gs://, hf://, https://, http://, file://'),
    (("spec", "storage"), {"uri": "volume:x"}, 'spec.storage.uri = "volume:x": the scheme volume is not known here; begin it with s3://, gs://'),
    (("spec", "storage", "path"), "ml/../../other", 'spec.storage.path = "ml/../../other": leaves the storage; write a path below the storage, without ..'),
    (("spec", "storage", "path"), "/ml", 'spec.storage.path = "/ml": leaves the storage; write a path below the storage, without ..'),
    ((*STAGES, 2, "serve", "tracing"), {"endpoint": "collector:4317"}, 'spec.stages[2].serve.tracing.endpoint = "collector:4317": the scheme collector is not known here; begin it with https://, http://'),
    # engines
    ((*BATCH, "multimodal"), {"kind": "video", "column": "clip"}, 'spec.stages[1].batch.multimodal.kind = "video": the batch\'s own engine is shown images alone; serve the model, and ask it by task serve'),
    # schedule
    (("spec", "schedule"), {"cron": "0 3 * *"}, 'spec.schedule.cron = "0 3 * *": has 4 fields, not 5; write minute, hour, day of month, month and day of week, such as 0 3 * * 1'),
    (("spec", "schedule"), {"cron": "61 3 * * *"}, 'spec.schedule.cron = "61 3 * * *": the minute 61 is not readable, or out of range; write minute, hour, day of month, month and day of week, such as 0 3 * * 1'),
    (("spec", "schedule"), {"cron": "a? 3 * * *"}, 'spec.schedule.cron = "a? 3 * * *": the minute a* is not readable, or out of range; write minute, hour, day of month, month and day of week, such as 0 3 * * 1'),
    (("spec", "schedule"), {"cron": "@daily", "timeZone": "Mars"}, 'spec.schedule.timeZone = "Mars": there is no such time zone; use a name such as Europe/Berlin'),
    # what another choice leaves without effect
    (("spec", "model"), {"source": "s3://models/qwen", "revision": "v1"}, 'spec.model.revision = "v1": only models of the hub have revisions; remove it: what lies at an address is told by its digest'),
    ((*STAGES, 0, "ray"), {"gcsFaultTolerance": {"redisAddress": "redis:6379"}}, "spec.stages[0].ray.gcsFaultTolerance: a job that loses its head begins another attempt, from its checkpoint; set it on a stage that serves, or in spec.ray"),
    ((*TUNE, "preference"), {"beta": 0.2}, "spec.stages[0].fineTune.preference: objective sft compares no responses; remove preference, or use objective dpo or kto"),
    # what this version does not carry out
    (("spec", "storage", "retention", "onDelete"), "Delete", 'spec.storage.retention.onDelete = "Delete": a workflow is deleted without waiting for anything, so that nobody is left to delete its artifacts; leave it at Retain, and delete the workflow\'s folder on the storage'),
    ((*SERVED, "engine"), "sglang", 'spec.stages[2].serve.models[0].engine = "sglang": Ray\'s server for SGLang says no token ids, by which an endpoint is verified here; use vllm, which also serves what SGLang has scored'),
    ((*SERVED, "parallelism"), {"data": 2}, 'spec.stages[2].serve.models[0].parallelism.data = 2: copies of an engine are replicas here; set replicas.min and replicas.max'),
    ((*STAGES, 2, "serve", "applications"), [{"name": "a", "importPath": "a:b", "routePrefix": "/a", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}]}], "spec.stages[2].serve.applications[0].env[0].valueFrom: Ray Serve gives an application written values alone; set the variable in ray.env, which all applications see"),
    ((*STAGES, 2, "serve", "applications"), [{"name": "a", "importPath": "a:b", "routePrefix": "/a"}, {"name": "b", "importPath": "a.b", "routePrefix": "/a"}], 'spec.stages[2].serve.applications[1].routePrefix = "/a": belongs to application a; choose another'),
    ((*STAGES, 2, "serve", "applications"), [{"name": "a", "importPath": "a", "routePrefix": "/a"}], 'spec.stages[2].serve.applications[0].importPath = "a": names no application in a module; write module:application'),
    ((*STAGES, 2, "serve", "applications"), [{"name": "a", "importPath": "a:b", "routePrefix": "/v1/x"}], 'spec.stages[2].serve.applications[0].routePrefix = "/v1/x": belongs to the endpoint; choose another'),
]  # fmt: skip


@pytest.mark.parametrize(("at", "value", "line"), WRONG)
def test_wrong(at: tuple[str | int, ...], value: Any, line: str) -> None:
    workflow = parse_workflow(edited(FULL, at, value))
    assert [str(problem) for problem in validate(workflow, local=False)] == [line]


def test_one_wrong_dependency_is_one_problem() -> None:
    told = 'spec.stages[1].dependsOn[0] = "chat": this stage comes later; move it before this one'
    assert problems(((*STAGES, 1, "dependsOn"), ["chat"])) == [told]


SGLANG = ((*BATCH, "engine"), "sglang")


@pytest.mark.capability("sglang")
@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        (("task",), "embed", 'task = "embed": SGLang writes texts alone here; use engine vllm'),
        (("multimodal",), {"column": "image"}, "multimodal: SGLang is shown no images here; use engine vllm"),
        (("sampling", "seed"), 1, "sampling.seed = 1: SGLang reads seeds in its deterministic mode alone; set engineKwargs.enable_deterministic_inference: true, or leave the seed out"),
        (("parallelism",), {"pipeline": 2}, "parallelism.pipeline = 2: Ray gives an SGLang engine the accelerators of tensor alone; use tensor, or engine vllm"),
        (("placement",), {"strategy": "SPREAD"}, 'placement.strategy = "SPREAD": the processes of an SGLang engine lie on one machine; leave it at PACK, or use engine vllm'),
        (("engineKwargs",), {"context_length": 250}, "sampling.maxTokens = 250: leaves no room for a prompt in engineKwargs.context_length 250; lower maxTokens, or raise context_length"),
    ],
)  # fmt: skip
def test_what_sglang_does_not_do(at: tuple[str, ...], value: Any, told: str) -> None:
    scores = ((*BATCH, "evaluate"), None)  # which vectors have none of
    found = problems(SGLANG, scores, ((*STAGES, 1, "gates"), []), ((*BATCH, *at), value))
    assert found == [f"spec.stages[1].batch.{told}"]


def test_what_sglang_does() -> None:
    deterministic = ((*BATCH, "engineKwargs"), {"enable_deterministic_inference": True})
    assert problems(SGLANG, deterministic, ((*BATCH, "sampling", "seed"), 1)) == []


def test_a_task_without_an_engine_has_no_other_one() -> None:
    asked = {"task": "http", "engine": "sglang", "input": {"uri": "volume:a"}, "http": {"url": "http://a/v1"}}
    found = problems(((*STAGES, 1, "batch"), asked), ((*STAGES, 1, "gates"), []))
    assert 'spec.stages[1].batch.engine = "sglang": task http starts no engine; remove engine' in found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_have_no_problems(path: Path) -> None:
    assert problems(path=path) == []


@pytest.mark.parametrize(
    "address", ["./test.jsonl", "test.jsonl", "/data/test.jsonl", "file:///data/test.jsonl"]
)
def test_paths_of_this_machine_are_for_local_runs(address: str) -> None:
    edit = ((*BATCH, "input", "uri"), address)
    assert problems(edit, local=True) == []
    assert bool(problems(edit, local=False)) == (not address.startswith("file:"))


@pytest.mark.parametrize("url", ["10.0.0.1:8000/v1", "/v1", "file:///v1"])
def test_a_server_is_no_path_on_any_machine(url: str) -> None:
    asked = {"name": "ask", "batch": {"task": "http", "input": {"uri": "volume:a"}, "http": {"url": url}}}
    (line,) = problems((STAGES, [asked]), local=True)
    assert line.startswith(f'spec.stages[0].batch.http.url = "{url}": ')
    assert line.endswith("; begin it with https://, http://")


def test_a_gate_without_an_evaluation() -> None:
    document = edited(FULL, (*BATCH, "evaluate"), ...)
    lines = [str(problem) for problem in validate(parse_workflow(document), local=False)]
    told = 'metric = "exactMatch": the stage measures nothing; list the metric under batch.evaluate.metrics'
    assert lines == [f"spec.stages[1].gates[0].{told}", f"spec.stages[1].gates[1].{told}"]


def test_the_base_model_is_not_better_than_itself() -> None:
    document = edited(FULL, (*BATCH, "model"), ...)
    document["spec"]["stages"][1]["gates"][1]["betterThan"] = "base"
    assert [str(problem) for problem in validate(parse_workflow(document), local=False)] == [
        'spec.stages[1].gates[1].betterThan = "base": the stage answers with the base model itself; set batch.model, or use min'
    ]


def test_a_comparison_needs_the_metric_on_both_sides() -> None:
    again = {
        "name": "again",
        "batch": {
            "model": {"stage": "tune"},
            "input": {"uri": "s3://a/b"},
            "evaluate": {"metrics": ["tokenF1"]},
        },
        "gates": [{"metric": "tokenF1", "betterThan": "score"}],
    }
    assert problems(((*STAGES, 2), again)) == [
        'spec.stages[2].gates[0].betterThan = "score": stage score does not measure tokenF1; add tokenF1 to its batch.evaluate.metrics'
    ]


def test_an_endpoint_elsewhere_uses_no_model() -> None:
    http = {"task": "http", "http": {"url": "https://a/v1"}}
    assert problems(*(((*BATCH, name), value) for name, value in http.items())) == [
        "spec.stages[1].batch.model: task http answers through http.url and loads no model; remove model"
    ]


def test_an_endpoint_of_the_workflow_is_asked_for_a_model_that_it_serves() -> None:
    served = {"name": "chat", "serve": {"models": [{"modelId": "viggo"}]}}
    asks = {"task": "serve", "input": {"uri": "s3://a/b"}}
    stages = [served, {"name": "ask", "batch": asks | {"through": {"stage": "chat", "model": "vigo:games"}}}]
    assert problems((STAGES, stages)) == [
        'spec.stages[1].batch.through.model = "vigo:games": stage chat serves no model of this name; did you mean viggo?'
    ]
    asks["through"] = {"stage": "chat", "model": "viggo:games"}
    assert problems((STAGES, [served, {"name": "ask", "batch": asks}])) == []


def test_templates_set_what_they_use_and_are_not_computed() -> None:
    template = "{% set found = text | from_json %}{% for n in range(3) %}{{ found[n] }}{% endfor %}{{ 'a' * 10 ** 12 }}"
    assert problems(((*BATCH, "postprocess"), template)) == []


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{% for n in [7, 8] %}{{ loop.index }}{% endfor %}", "12"),
        ("{% macro f(x, y=1) %}{{ x }}{{ y }}{{ varargs | length }}{{ kwargs | length }}{% endmacro %}{{ f(2) }}", "2100"),
        ("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}a{% endcall %}", "a"),
        ("{% block b %}a{% endblock %}{{ self.b() }}", "aa"),
    ],
)  # fmt: skip
def test_templates_use_what_their_statements_set(template: str, rendered: str) -> None:
    assert problems(((*BATCH, "postprocess"), template)) == []
    assert fill(template, "postprocess") == rendered


def test_outside_of_a_loop_there_is_none() -> None:
    (line,) = problems(((*BATCH, "postprocess"), "{{ loop.index }}"))
    assert "there is no loop in it" in line


def test_vectors_are_not_scored() -> None:
    assert problems(((*BATCH, "task"), "embed")) == [
        "spec.stages[1].batch.evaluate: a vector is no answer that a metric compares; remove evaluate"
    ]


def test_vectors_are_of_texts() -> None:
    shown = ((*BATCH, "multimodal"), {"kind": "image", "column": "photo"})
    unscored = ((*BATCH, "evaluate"), None), ((*STAGES, 1, "gates"), [])
    assert problems(shown, ((*BATCH, "task"), "embed"), *unscored) == [
        "spec.stages[1].batch.multimodal: only texts have vectors and classes here; remove multimodal"
    ]


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/5 0-6 1,15 JAN-MAR MON", "0 0 ? * 7", "@hourly", "30 4 1-31/2 * 1-5"]
)
def test_times_that_are_right(cron: str) -> None:
    assert problems((("spec", "schedule"), {"cron": cron})) == []


def test_check_raises_with_every_problem() -> None:
    workflow = parse_workflow(edited(FULL, (*TUNE, "lora", "useDora"), True))
    with pytest.raises(InvalidWorkflow) as raised:
        check(workflow, local=False)
    assert raised.value.problems == validate(workflow, local=False)
    assert len(raised.value.problems) == 2


def test_an_endpoint_may_come_before_what_judges_it_by_asking_it() -> None:
    document = content(FULL)
    *others, chat = document["spec"]["stages"]
    judge = {"name": "live", "dependsOn": ["chat"], "gates": [{"metric": "exactMatch", "min": 0.5}]}
    judge["batch"] = others[1]["batch"]
    document["spec"]["stages"] = [*others, chat, judge]
    assert validate(parse_workflow(document), local=False) == []
    judge["dependsOn"] = ["tune"]
    (problem,) = validate(parse_workflow(document), local=False)
    assert problem.remedy == "add live to dependsOn, and move live before chat"
