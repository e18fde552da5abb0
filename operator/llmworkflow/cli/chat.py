"""`chat`: talk to what a workflow serves."""

import os
import sys
from collections.abc import Iterator

import click
from openai import OpenAI, OpenAIError

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, find_home
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.secrets import Secrets


@click.command()
@click.argument("name")
@click.argument("message", required=False)
@NAMESPACE
@click.option("--max-tokens", default=256, show_default=True, help="Longest answer, in tokens.")
@ends_well
def chat(name: str, message: str | None, namespace: str, max_tokens: int) -> None:
    """Send MESSAGE to the served model, or each line of standard input."""
    home = find_home(namespace, name)
    serving = home.status().serving
    if serving is None or serving.url is None:
        raise LocalError(f"{name} serves nothing now: start it with `llmworkflow run FILE --local`")
    key = api_key(home, serving.stage)
    for line in [message] if message else sys.stdin:
        for piece in stream(serving.url, serving.model_id, line.rstrip("\n"), max_tokens, key):
            click.echo(piece, nl=False)
        click.echo()


def api_key(home: WorkflowHome, stage: str) -> str:
    """A key of the endpoint: of the environment, else the first of the Secret that it reads its keys from."""
    workflow = home.load()
    serve = next((item.serve for item in workflow.spec.stages if item.name == stage), None)
    if "OPENAI_API_KEY" in os.environ or serve is None or serve.api_keys_from is None:
        return os.environ.get("OPENAI_API_KEY", "none")
    keys = Secrets(home.root, workflow.metadata.namespace).value(serve.api_keys_from)
    return keys.replace(",", "\n").strip().splitlines()[0].strip()


def stream(url: str, model: str, message: str, max_tokens: int, key: str = "none") -> Iterator[str]:
    """The pieces of the model's answer, as they come.

    Raises:
        LocalError: the endpoint does not answer.
    """
    client = OpenAI(base_url=f"{url}/v1", api_key=key)
    try:
        pieces = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": message}],
            max_tokens=max_tokens,
            stream=True,
        )
        for piece in pieces:
            if piece.choices and piece.choices[0].delta.content:
                yield piece.choices[0].delta.content
    except OpenAIError as error:
        raise LocalError(f"{url} did not answer: {error}") from error
