"""From rows to messages to token ids."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import (
    RowError,
    check_row,
    ending_with,
    messages_of,
    prompt_token_ids,
    response_of,
    training_token_ids,
)

COLUMNS = {
    "instruction": "instruction",
    "input": "input",
    "output": "output",
    "system": None,
    "messages": "messages",
}
USER = {"role": "user", "content": "What is it?"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "A game."}


def prompt(format: str, custom: dict[str, Any] | None = None, **columns: str) -> dict[str, Any]:
    return {"format": format, "columns": COLUMNS | columns, "custom": custom, "chatTemplateKwargs": {}}


CUSTOM = prompt(
    "custom", {"system": "{{ row.task }}", "user": "{{ row.q | trim }}\n", "response": "{{ row.a.text }}"}
)
TURNS = {"conversations": [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A game."}]}
SHAREGPT = prompt("sharegpt", messages="conversations")


@pytest.mark.capability("prompt-formats")
@pytest.mark.parametrize(
    ("row", "spec", "messages", "response"),
    [
        pytest.param(
            {"instruction": "Name it.", "input": "Dirt", "output": "A game."},
            prompt("alpaca"), [{"role": "user", "content": "Name it.\nDirt"}], "A game.",
            id="alpaca joins instruction and input in one user turn",
        ),
        pytest.param(
            {"instruction": "What is it?", "input": "", "output": ""}, prompt("alpaca"), [USER], "",
            id="alpaca with an empty input",
        ),
        pytest.param(
            {"instruction": "What is it?", "output": "A game."}, prompt("alpaca"), [USER], "A game.",
            id="alpaca without an input",
        ),
        pytest.param(
            {"q": "What is it?", "a": "A game.", "s": "Be brief."},
            prompt("alpaca", instruction="q", output="a", system="s"), [SYSTEM, USER], "A game.",
            id="alpaca with columns of other names and a system column",
        ),
        pytest.param(
            {"instruction": "What is it?", "output": "A game.", "s": None}, prompt("alpaca", system="s"),
            [USER], "A game.", id="alpaca with an empty system column",
        ),
        pytest.param(
            {"instruction": "What is it?", "output": "A game.", "h": [["What is it?", "A game."]], "s": "Be brief."},
            prompt("alpaca", history="h", system="s"), [SYSTEM, USER, ANSWER, USER], "A game.",
            id="alpaca with earlier turns",
        ),
        pytest.param(
            {"instruction": "What is it?", "output": "A game.", "h": None}, prompt("alpaca", history="h"), [USER],
            "A game.", id="alpaca without earlier turns",
        ),
        pytest.param(
            {"messages": [SYSTEM, USER, ANSWER]}, prompt("messages"), [SYSTEM, USER], "A game.", id="messages"
        ),
        pytest.param(
            {"messages": [USER, ANSWER, USER, ANSWER]}, prompt("messages"), [USER, ANSWER, USER], "A game.",
            id="messages of several turns: the last is the response",
        ),
        pytest.param(TURNS, SHAREGPT, [USER], "A game.", id="sharegpt"),
        pytest.param(
            TURNS | {"s": "Be brief."}, prompt("sharegpt", messages="conversations", system="s"),
            [SYSTEM, USER], "A game.", id="sharegpt with a system column",
        ),
        pytest.param(
            {"task": "Be brief.", "q": " What is it? ", "a": {"text": "A game."}}, CUSTOM,
            [SYSTEM, {"role": "user", "content": "What is it?\n"}], "A game.", id="custom",
        ),
    ],
)  # fmt: skip
def test_row_gives_messages_and_response(
    row: dict[str, Any], spec: dict[str, Any], messages: list[dict[str, str]], response: str
) -> None:
    assert messages_of(row, spec) == messages
    assert response_of(row, spec) == response


def test_prompt_needs_no_response() -> None:
    assert messages_of({"messages": [SYSTEM, USER]}, prompt("messages")) == [SYSTEM, USER]
    check_row({"instruction": "What is it?"}, prompt("alpaca"), response=False)


@pytest.mark.parametrize(
    ("row", "spec", "column", "problem", "missing"),
    [
        ({"question": "x"}, prompt("alpaca"), "instruction", "the row has question", True),
        ({"instruction": "x"}, prompt("alpaca"), "output", "there is no such column", True),
        ({"instruction": 3, "output": ""}, prompt("alpaca"), "instruction", "expected a text, found 3", False),
        ({"instruction": "x", "input": [], "output": ""}, prompt("alpaca"), "input", "expected a text", False),
        ({"instruction": "x", "h": "x"}, prompt("alpaca", history="h"), "h", "expected a list of pairs", False),
        ({"instruction": "x", "h": [["x"]]}, prompt("alpaca", history="h"), r"h\[0\]", "a question and its", False),
        ({"messages": "x"}, prompt("messages"), "messages", "expected a list of messages", False),
        ({"messages": []}, prompt("messages"), "messages", "expected a list of messages", False),
        ({"messages": [USER]}, prompt("messages"), "messages", "is of the user, not the assistant", False),
        ({"messages": [ANSWER]}, prompt("messages"), "messages", "no message to respond to", False),
        ({"messages": [USER, "x"]}, prompt("messages"), r"messages\[1\]", "expected an object", False),
        ({"messages": [{"role": "user"}]}, prompt("messages"), r"messages\[0\]", "expected an object", False),
        ({"messages": [{"role": "bot", "content": ""}]}, prompt("messages"), r"messages\[0\]", "role is 'bot'", False),
        (
            {"conversations": [{"from": "function_call", "value": "{}"}]}, SHAREGPT,
            r"conversations\[0\]", "from is 'function_call', expected one of", False,
        ),
        ({"task": "x", "a": {"text": ""}}, CUSTOM, "custom.user", "no attribute 'q'", True),
        ({"q": "x"}, prompt("custom", {"user": "{{ row.q }}"}), "custom.response", "no template", False),
        ({"q": "x"}, prompt("custom", {"user": "{{ row.q"}), "custom.user", "cannot be rendered", False),
    ],
)  # fmt: skip
def test_row_that_does_not_fit_is_refused(
    row: dict[str, Any], spec: dict[str, Any], column: str, problem: str, missing: bool
) -> None:
    with pytest.raises(RowError, match=f"column {column}: .*{problem}") as caught:
        check_row(row, spec)
    assert caught.value.missing == missing


@pytest.mark.capability("prompt-formats")
@pytest.mark.parametrize(
    "template",
    [
        "{{ row.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ row.update({'q': 'changed'}) }}",
    ],
)
def test_templates_reach_nothing_but_the_row(template: str) -> None:
    with pytest.raises(RowError):
        messages_of({"q": "x"}, prompt("custom", {"user": template}))


@given(instruction=st.text(max_size=40), response=st.text(max_size=40))
def test_training_begins_with_the_ids_of_inference(
    chat_tokenizer: Any, instruction: str, response: str
) -> None:
    row = {"instruction": instruction, "output": response}
    spec = prompt("alpaca")
    end = chat_tokenizer.eos_token_id
    ids = prompt_token_ids(chat_tokenizer, messages_of(row, spec))
    example = training_token_ids(chat_tokenizer, row, spec, [end])
    assert example.input_ids[: len(ids)] == ids
    assert example.completion_mask == [0] * len(ids) + [1] * (len(example.input_ids) - len(ids))
    assert example.input_ids[-1] == end
    assert chat_tokenizer.decode(example.input_ids[len(ids) : -1]) == response


@pytest.mark.capability("chat-template-options")
def test_chat_template_options_reach_both(chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = chat_tokenizer.chat_template
    monkeypatch.setattr(chat_tokenizer, "chat_template", "{{ '<' ~ mode ~ '>' }}" + template)
    spec = prompt("alpaca") | {"chatTemplateKwargs": {"mode": "think"}}
    row = {"instruction": "x", "output": "y"}
    ids = prompt_token_ids(chat_tokenizer, messages_of(row, spec), spec["chatTemplateKwargs"])
    assert chat_tokenizer.decode(ids).startswith("<think>")
    assert training_token_ids(chat_tokenizer, row, spec, [2]).input_ids[: len(ids)] == ids


@pytest.mark.capability("chat-template-options")
@given(prefill=st.text(min_size=1, max_size=20), response=st.text(max_size=20), begun=st.booleans())
def test_answers_go_on_from_the_prefill(
    chat_tokenizer: Any, prefill: str, response: str, begun: bool
) -> None:
    """Whether or not the response of the data begins with it."""
    template = chat_tokenizer.chat_template
    row = {"instruction": "x", "output": prefill + response if begun else response.removeprefix(prefill)}
    spec = prompt("alpaca") | {"assistantPrefill": prefill}
    plain = prompt_token_ids(chat_tokenizer, messages_of(row, spec))
    chat_tokenizer.chat_template = ending_with(template, prefill)
    try:
        ids = prompt_token_ids(chat_tokenizer, messages_of(row, spec))
        example = training_token_ids(chat_tokenizer, row, spec, [chat_tokenizer.eos_token_id])
    finally:
        chat_tokenizer.chat_template = template
    assert chat_tokenizer.decode(ids) == chat_tokenizer.decode(plain) + prefill
    assert example.input_ids[: len(ids)] == ids
    assert chat_tokenizer.decode(example.input_ids[len(ids) : -1]) == response_of(row, spec)
    assert response_of(row, spec) == (response if begun else response.removeprefix(prefill))


THINKING = (  # the prompt opens or ends the thinking, and a turn that is over has none, as with DeepSeek-R1 and Qwen3
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% if done %}</think>\n{% endif %}{% endif %}"
)


@pytest.mark.capability("chat-template-options")
@pytest.mark.parametrize(("done", "response"), [(False, "It is old.\n</think>\nA game."), (True, "A game.")])
def test_thinking_goes_on_where_the_prompt_leaves_it(
    chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch, done: bool, response: str
) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", THINKING)
    row = {"instruction": "What is it?", "output": response}
    spec = prompt("alpaca") | {"chatTemplateKwargs": {"done": done}}
    ids = prompt_token_ids(chat_tokenizer, messages_of(row, spec), spec["chatTemplateKwargs"])
    example = training_token_ids(chat_tokenizer, row, spec, [chat_tokenizer.eos_token_id])
    assert example.input_ids[: len(ids)] == ids
    assert chat_tokenizer.decode(ids).endswith("<think>\n</think>\n" if done else "<think>\n")
    assert chat_tokenizer.decode(example.input_ids[len(ids) :]) == f"{response}<|im_end|>"


@pytest.mark.parametrize(
    ("done", "response", "message"),
    [
        (False, "A game.", "opens <think> and the response does not close it; .*assistantPrefill"),
        (True, "<think>It is old.</think>A game.", "the response thinks .*prompt.chatTemplateKwargs"),
    ],
)
def test_response_that_thinks_otherwise_than_the_prompt_is_refused(
    chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch, done: bool, response: str, message: str
) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", THINKING)
    spec = prompt("alpaca") | {"chatTemplateKwargs": {"done": done}}
    with pytest.raises(RowError, match=message):
        training_token_ids(chat_tokenizer, {"instruction": "x", "output": response}, spec, [2])


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "does not end the assistant's turn"),
        (
            "{% for m in messages %}{{ m.content }}<|im_end|>then more{% endfor %}",
            "does not end the assistant's turn",
        ),
        ("{{ messages | length }}{{ messages[-1].content }}<|im_end|>", "renders the prompt differently"),
    ],
)
def test_template_that_teaches_the_wrong_thing_is_refused(
    chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str, message: str
) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", template)
    row = {"instruction": "x", "output": "y"}
    with pytest.raises(JobError, match=message) as caught:
        training_token_ids(chat_tokenizer, row, prompt("alpaca"), [chat_tokenizer.eos_token_id])
    assert caught.value.reason == "ModelInvalid"


def test_messages_that_the_template_refuses_are_an_error_of_the_row(
    chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(RowError, match="roles must alternate"):
        prompt_token_ids(chat_tokenizer, [USER, USER])
