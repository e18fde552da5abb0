"""From a data row to messages to token ids: one mapping for training, batch inference, evaluation and serving.

A row gives the messages of the prompt and the response. Token ids are made from them with the model's own chat
template, and the response's ids are appended to exactly the ids that the prompt has at inference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmworkflow_jobs.errors import JobError

Message = dict[str, str]

_ROLES = ("system", "user", "assistant")
# ShareGPT's names of the speakers. Tool calls (function_call, observation) have no plain text form.
_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
# Stands for a response where only what the template writes around it matters.
_MARKER = "the response goes here"


class RowError(ValueError):
    """A row does not fit the prompt: which column, and why. `missing` tells an absent column from a bad value."""

    def __init__(self, column: str, problem: str, missing: bool = False) -> None:
        super().__init__(column, problem, missing)
        self.column = column
        self.problem = problem
        self.missing = missing

    def __str__(self) -> str:
        return f"column {self.column}: {self.problem}"


class Example(NamedTuple):
    """Token ids of a prompt and its response; the mask is 1 on the response, its end token included."""

    input_ids: list[int]
    completion_mask: list[int]


def messages_of(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[Message]:
    """The messages of the row's prompt, without the response. Raises RowError."""
    return _PROMPTS[prompt["format"]](row, prompt)


def response_of(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    """What the model is to write for the row: the target in training, the reference in evaluation. Raises RowError.

    It follows prompt.assistantPrefill, with which a response in the data may begin.
    """
    return _RESPONSES[prompt["format"]](row, prompt).removeprefix(_prefill(prompt))


def preferred_of(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> tuple[str, str]:
    """The better and the worse response to the row's prompt. Raises RowError."""
    columns = prompt["columns"]
    chosen, rejected = (_answer(row, columns[part], prompt) for part in ("chosen", "rejected"))
    return chosen, rejected


def judgement_of(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> tuple[str, bool]:
    """The response to the row's prompt, and whether it is a good one. Raises RowError."""
    column = prompt["columns"]["label"]
    label = _value(row, column)
    if not isinstance(label, bool):
        raise RowError(column, f"expected true or false, found {_shown(label)}")
    return response_of(row, prompt), label


def text_of(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    """The plain text of the row, for pre-training. Raises RowError."""
    return _text(row, prompt["columns"]["text"])


def check_row(row: Mapping[str, Any], prompt: Mapping[str, Any], response: bool = True) -> None:
    """Raise RowError if the row gives no prompt, or no response where one is needed."""
    messages_of(row, prompt)
    if response:
        response_of(row, prompt)


def prompt_token_ids(
    tokenizer: Any, messages: list[Message], kwargs: Mapping[str, Any] | None = None
) -> list[int]:
    """Token ids of the messages and of the opening of the assistant's turn, by the model's chat template."""
    text = _render(tokenizer, messages, kwargs, add_generation_prompt=True)
    return _encode(tokenizer, text)


def encoder(tokenizer: Any, prompt: Mapping[str, Any]) -> Callable[[list[Message]], list[int]]:
    """What makes token ids of messages as `prompt` has it."""
    kwargs = prompt["chatTemplateKwargs"]
    return lambda messages: prompt_token_ids(tokenizer, messages, kwargs)


def training_token_ids(
    tokenizer: Any, row: Mapping[str, Any], prompt: Mapping[str, Any], end_ids: Collection[int]
) -> Example:
    """Token ids of the row's prompt followed by those of its response. Raises RowError for a row that does not fit."""
    return answer_token_ids(tokenizer, messages_of(row, prompt), response_of(row, prompt), prompt, end_ids)


def answer_token_ids(
    tokenizer: Any,
    messages: list[Message],
    response: str,
    prompt: Mapping[str, Any],
    end_ids: Collection[int],
) -> Example:
    """Token ids of the messages followed by those of the response, up to and including the end of its turn.

    The prompt's ids are those of `prompt_token_ids`, so a model is trained on what it will be asked. `end_ids` are
    the tokens at which generation stops: a template whose response does not end in one raises JobError ModelInvalid,
    since the model would never learn to stop. Raises RowError for messages that the template refuses.
    """
    opening, completion = _turn(tokenizer, messages, response, prompt)
    prompt_ids = _encode(tokenizer, opening)
    response_ids = _up_to_end(tokenizer, _encode(tokenizer, completion), end_ids)
    return Example(prompt_ids + response_ids, [0] * len(prompt_ids) + [1] * len(response_ids))


def ending_with(template: str, prefill: str) -> str:
    """A chat template that opens the assistant's turn as `template` does, and with `prefill` after it."""
    # A string of JSON is one of Jinja2 too. The + keeps white space that the environment would strip before a block.
    literal = json.dumps(prefill, ensure_ascii=False)
    own = template.removesuffix("\n")  # as Jinja2 does at the end of a template
    return f"{own}{{%+ if add_generation_prompt %}}{{{{ {literal} }}}}{{% endif %}}"


def _prefill(prompt: Mapping[str, Any]) -> str:
    return prompt.get("assistantPrefill") or ""


def _turn(
    tokenizer: Any, messages: list[Message], response: str, prompt: Mapping[str, Any]
) -> tuple[str, str]:
    """The text of the prompt, and what the model has to write after it, up to the end of its turn."""

    def whole(content: str) -> str:
        answer: Message = {"role": "assistant", "content": content}
        return _render(tokenizer, [*messages, answer], kwargs, add_generation_prompt=False)

    kwargs = prompt.get("chatTemplateKwargs")
    opening = _render(tokenizer, messages, kwargs, add_generation_prompt=True)
    rendered = whole(_prefill(prompt) + response)
    if rendered.startswith(opening):
        return opening, rendered[len(opening) :]
    # Thinking models: what the prompt opens, or the response thinks, is left out of a turn that is over.
    asked = _render(tokenizer, messages, kwargs, add_generation_prompt=False)
    marked, marker, end = whole(_MARKER).rpartition(_MARKER)
    if not marker or not opening.startswith(asked) or not marked.startswith(asked):
        raise _unfit(tokenizer, "renders the prompt differently once the response follows it")
    _check_thinking(opening[len(asked) :], response)
    return opening, response + end


def _check_thinking(opened: str, response: str) -> None:
    """Raise RowError if the response does not go on from where the prompt leaves the model's thinking."""
    thinks = opened.rfind("<think>") > opened.rfind("</think>")
    if thinks and "</think>" not in response:
        raise RowError(
            "messages",
            "the prompt opens <think> and the response does not close it; "
            "let responses hold the thinking and </think>, or set prompt.assistantPrefill to </think>",
        )
    if not thinks and "</think>" in opened and "<think>" in response:
        raise RowError(
            "messages",
            "the response thinks (<think>), while the prompt has it done; "
            "leave the thinking out of the data, or change prompt.chatTemplateKwargs",
        )


def _up_to_end(tokenizer: Any, ids: list[int], end_ids: Collection[int]) -> list[int]:
    """`ids` without the white space that templates put after the end of a turn."""
    ends = [index for index, token in enumerate(ids) if token in end_ids]
    if not ends or tokenizer.decode(ids[ends[-1] + 1 :]).strip():
        names = ", ".join(tokenizer.convert_ids_to_tokens(sorted(end_ids)))
        raise _unfit(
            tokenizer, f"does not end the assistant's turn with a token that stops generation ({names})"
        )
    return ids[: ends[-1] + 1]


def _unfit(tokenizer: Any, problem: str) -> JobError:
    return JobError(
        "ModelInvalid",
        f"the chat template of {tokenizer.name_or_path} {problem}; "
        "set prompt.chatTemplate, or correct eos_token_id in the model's generation_config.json",
    )


def _render(
    tokenizer: Any, messages: list[Message], kwargs: Mapping[str, Any] | None, add_generation_prompt: bool
) -> str:
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt, **(kwargs or {})
        )
    except jinja2.TemplateError as error:
        raise RowError("messages", f"the chat template refuses them: {error}") from error
    return str(text)


def _encode(tokenizer: Any, text: str) -> list[int]:
    # The template writes the special tokens itself, also the one that begins the text.
    return list(tokenizer.encode(text, add_special_tokens=False))


def _alpaca_messages(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[Message]:
    """Instruction and input make one user turn, as LLaMA-Factory has it."""
    columns = prompt["columns"]
    instruction = _text(row, columns["instruction"])
    extra = _optional_text(row, columns.get("input"))
    system = _optional_text(row, columns.get("system"))
    user: Message = {"role": "user", "content": f"{instruction}\n{extra}" if extra else instruction}
    turns = [*_alpaca_history(row, columns.get("history")), user]
    return [{"role": "system", "content": system}, *turns] if system else turns


def _alpaca_history(row: Mapping[str, Any], column: str | None) -> list[Message]:
    """The turns before the last, which rows give as pairs of question and answer."""
    pairs = row.get(column) if column else None
    if not isinstance(pairs, list | None):
        raise RowError(str(column), f"expected a list of pairs, found {_shown(pairs)}")
    messages = []
    for index, pair in enumerate(pairs or []):
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            raise RowError(f"{column}[{index}]", f"expected a question and its answer, found {_shown(pair)}")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return messages


def _alpaca_response(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    return _text(row, prompt["columns"]["output"])


def _conversation_messages(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[Message]:
    """All turns before the last assistant turn; a conversation that ends with the user is a prompt as a whole."""
    turns = _conversation(row, prompt)
    return turns[:-1] if turns[-1]["role"] == "assistant" else turns


def _conversation_response(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    last = _conversation(row, prompt)[-1]
    if last["role"] != "assistant":
        raise RowError(
            prompt["columns"]["messages"], f"the last message is of the {last['role']}, not the assistant"
        )
    return last["content"]


def _conversation(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[Message]:
    column = prompt["columns"]["messages"]
    turns = _value(row, column)
    if not isinstance(turns, list) or not turns:
        raise RowError(column, f"expected a list of messages, found {_shown(turns)}")
    read = _sharegpt_message if prompt["format"] == "sharegpt" else _openai_message
    messages = [read(turn, f"{column}[{index}]") for index, turn in enumerate(turns)]
    if all(message["role"] == "assistant" for message in messages):
        raise RowError(column, "there is no message to respond to")
    system = _optional_text(row, prompt["columns"].get("system"))
    return [{"role": "system", "content": system}, *messages] if system else messages


def _answer(row: Mapping[str, Any], column: str, prompt: Mapping[str, Any]) -> str:
    """A response of its own column: a text, a message, or a conversation that ends in it."""
    value = _value(row, column)
    if not isinstance(value, str):
        read = _sharegpt_message if prompt["format"] == "sharegpt" else _openai_message
        last = read(value[-1] if isinstance(value, list) and value else value, column)
        if last["role"] != "assistant":
            raise RowError(column, f"the last message is of the {last['role']}, not the assistant")
        value = last["content"]
    return value.removeprefix(_prefill(prompt))


def _openai_message(turn: Any, where: str) -> Message:
    return _message(turn, where, ("role", "content"), {role: role for role in _ROLES})


def _sharegpt_message(turn: Any, where: str) -> Message:
    return _message(turn, where, ("from", "value"), _SHAREGPT_ROLES)


def _message(turn: Any, where: str, keys: tuple[str, str], roles: Mapping[str, str]) -> Message:
    speaker, content = keys
    if not isinstance(turn, Mapping) or not isinstance(turn.get(content), str):
        raise RowError(
            where, f"expected an object with the texts {speaker} and {content}, found {_shown(turn)}"
        )
    role = str(turn.get(speaker))
    if role not in roles:
        raise RowError(where, f"{speaker} is {role!r}, expected one of {', '.join(roles)}")
    return {"role": roles[role], "content": turn[content]}


def _custom_messages(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[Message]:
    custom = prompt["custom"]
    user: Message = {"role": "user", "content": fill(custom["user"], "custom.user", row=row)}
    system = fill(custom["system"], "custom.system", row=row) if custom.get("system") else ""
    return [{"role": "system", "content": system}, user] if system else [user]


def _custom_response(row: Mapping[str, Any], prompt: Mapping[str, Any]) -> str:
    template = prompt["custom"].get("response")
    if not template:
        raise RowError("custom.response", "the prompt has no template for the response")
    return fill(template, "custom.response", row=row)


def fill(source: str, where: str, **values: Any) -> str:
    """The text of a template over `values`; `where` is the field that holds it. Raises RowError."""
    try:
        return parse(source).render(values)
    except jinja2.UndefinedError as error:
        raise RowError(where, str(error), missing=True) from error
    except Exception as error:  # an expression may raise whatever Python does
        raise RowError(where, f"the template cannot be rendered: {error}") from error


@lru_cache(maxsize=16)
def parse(source: str) -> jinja2.Template:
    """A template of the resource. Raises TemplateSyntaxError."""
    # Templates come from the resource, which more people may write than may run code here: hence the sandbox.
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["from_json"] = json.loads
    return environment.from_string(source)


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise RowError(
            column, f"there is no such column, the row has {', '.join(map(str, row))}", missing=True
        )
    return row[column]


def _text(row: Mapping[str, Any], column: str) -> str:
    value = _value(row, column)
    if not isinstance(value, str):
        raise RowError(column, f"expected a text, found {_shown(value)}")
    return value


def _optional_text(row: Mapping[str, Any], column: str | None) -> str:
    """A column that rows may lack or leave empty."""
    if column is None or row.get(column) is None:
        return ""
    return _text(row, column)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


_PROMPTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], list[Message]]] = {
    "alpaca": _alpaca_messages,
    "messages": _conversation_messages,
    "sharegpt": _conversation_messages,
    "custom": _custom_messages,
}
_RESPONSES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], str]] = {
    "alpaca": _alpaca_response,
    "messages": _conversation_response,
    "sharegpt": _conversation_response,
    "custom": _custom_response,
}
