"""Statuses as the API server has them."""

from pydantic import ValidationError

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.client.errors import ClientError


def status_of(resource: JsonObject) -> LLMWorkflowStatus:
    """The status of a resource; empty while nobody has looked at it.

    Raises:
        ClientError: an operator of another version wrote what this one does not know.
    """
    try:
        return LLMWorkflowStatus.model_validate(resource.get("status") or {})
    except ValidationError as error:
        name, first = resource["metadata"]["name"], error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ClientError(
            f"the status of {name} is of another version of llmworkflow (status.{field}: {first['msg']}): install the "
            "version of the operator here, or look at it with kubectl"
        ) from None
