"""One prompt: a row has the same token ids in training, in a batch and in vLLM's renderer behind the endpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import model, rows, serving
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.objectives import IGNORED
from llmworkflow_jobs.prompt import encoder, messages_of
from llmworkflow_jobs.training_data import tokenise

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # vLLM's own, of its fields
]

# As Qwen3 has it: thinking can be turned off, and only the last turn keeps its own.
QWEN3 = (
    "{%- for message in messages %}"
    "{%- set content = message.content %}"
    "{%- if message.role != 'assistant' %}"
    "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}"
    "{%- else %}"
    "{%- set thought = '' %}"
    "{%- if '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- endif %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if loop.last %}{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{- content.lstrip('\\n') + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}"
    "{%- endif %}"
)
# As DeepSeek-R1 has it: the prompt opens the thinking, which is left out of turns that are over.
R1 = (
    "{% for message in messages %}{% if message.role == 'assistant' %}"
    "<|im_start|>assistant\n{{ message.content.split('</think>')[-1] }}<|im_end|>"
    "{% else %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": (
        {"format": "alpaca", "columns": {"system": "rule", "history": "before"}},
        {
            "instruction": " Näme it.", "input": "Dirt\n", "output": "A game 🎮",
            "rule": "Be brief.", "before": [["What?", "Nothing."]],
        },
    ),
    "sharegpt": (
        {"format": "sharegpt", "columns": {"messages": "talk"}},
        {"talk": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "What is it?"},
                  {"from": "gpt", "value": "A game."}, {"from": "human", "value": "Which?"},
                  {"from": "gpt", "value": "Dirt"}]},
    ),
    "messages": (
        {"format": "messages"},
        {"messages": [{"role": "user", "content": "What is {{ it }}? {% if %}"},
                      {"role": "assistant", "content": "{A game}"}]},
    ),
    "custom": (
        {"format": "custom",
         "custom": {"system": "Be {{ row.how }}.", "user": "{{ row.q }}\n\n", "response": "{{ row.a }}"}},
        {"how": "brief", "q": "What is it?", "a": "A game."},
    ),
}  # fmt: skip
TEMPLATES: dict[str, dict[str, Any]] = {
    "own": {},
    "prefill": {"assistantPrefill": 'Sure, "ok"\\n👍\n{{ '},
    "qwen3": {"chatTemplate": QWEN3},
    "qwen3 without thinking": {"chatTemplate": QWEN3, "chatTemplateKwargs": {"enable_thinking": False}},
    "qwen3 with its thinking done": {"chatTemplate": QWEN3, "assistantPrefill": "<think>\n\n</think>\n\n"},
    "r1 with its thinking done": {"chatTemplate": R1, "assistantPrefill": "</think>\n"},
}


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> tuple[Any, Any]:
    """vLLM's model configuration and renderer of the tiny model, as its server makes them."""
    from vllm import AsyncEngineArgs
    from vllm.renderers.registry import renderer_from_config

    config = AsyncEngineArgs(
        model=str(tiny_model), dtype="float32", enforce_eager=True
    ).create_engine_config()
    return config.model_config, renderer_from_config(config)


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., Any]) -> Callable[..., JobConfig]:
    (tmp_path / "model").symlink_to(tiny_model)

    def make(kind: str, prompt: dict[str, Any]) -> JobConfig:
        columns = stage_config(kind)["prompt"]["columns"] | prompt.get("columns", {})
        return parse(stage_config(kind, prompt=prompt | {"columns": columns}))

    return make


async def served(job: JobConfig, renderer: tuple[Any, Any], messages: list[Any]) -> list[int]:
    """The ids that an endpoint of this configuration makes of a client's messages."""
    from vllm.entrypoints.chat_utils import load_chat_template
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.renderers.online_renderer import OnlineRenderer

    (described,) = job.section["models"]
    arguments = serving.llm_config(job, described).engine_kwargs
    model_config, made = renderer
    online = OnlineRenderer(
        model_config,
        made,
        request_logger=None,
        chat_template=load_chat_template(arguments.get("chat_template")),
        chat_template_content_format="auto",
        default_chat_template_kwargs=arguments.get("default_chat_template_kwargs"),
    )
    request = ChatCompletionRequest(model=described["modelId"], messages=messages)
    _, (engine_input,) = await online.render_chat(request)
    return list(engine_input["prompt_token_ids"])


@pytest.mark.capability("one-prompt")
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("format", ROWS)
async def test_training_batch_and_endpoint_ask_alike(
    config: Callable[..., JobConfig], renderer: tuple[Any, Any], tiny_model: Path, format: str, template: str
) -> None:
    prompt, row = ROWS[format]
    prompt = prompt | TEMPLATES[template]
    folder = str(tiny_model)
    tune, batch, serve = (config(kind, prompt) for kind in ("fineTune", "batch", "serve"))
    tokenizer = model.load_tokenizer(tune, folder)

    (request,) = rows.ask(
        [(0, row)],
        batch.prompt,
        encoder(model.load_tokenizer(batch, folder), batch.prompt),
        True,
        "volume:test.jsonl",
    )
    (example,) = tokenise(tokenizer, [row], tune, model.eos_token_ids(folder, tokenizer)).examples
    trained = [
        token
        for token, label in zip(example["input_ids"], example["labels"], strict=True)
        if label == IGNORED
    ]
    assert request.token_ids == trained == example["input_ids"][: len(trained)]
    assert request.token_ids == await served(serve, renderer, messages_of(row, serve.prompt))

    text = tokenizer.decode(request.token_ids)
    assert text.endswith(prompt.get("assistantPrefill", ""))
    learned = tokenizer.decode(example["input_ids"][len(trained) :])
    assert learned.endswith(f"{request.reference}<|im_end|>")
