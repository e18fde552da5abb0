"""How Kopf watches workflows: their metadata alone, as whoever looks at one reads it anew."""

from typing import Any

import aiohttp
import kopf

from llmworkflow.api.spec.workflow import PLURAL
from llmworkflow.kube.client import METADATA


async def login(**known: Any) -> kopf.AiohttpSession:
    """A session with the credentials that the Kubernetes client finds.

    Raises:
        kopf.LoginError: there are none.
    """
    found = kopf.login_via_client(**known)
    if found is None:
        raise kopf.LoginError("the package kubernetes is missing")
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        middlewares=[metadata_alone],
        response_class=ListResponse,
    )
    return kopf.AiohttpSession(
        server=found.server,
        priority=found.priority,
        default_namespace=found.default_namespace,
        expiration=found.expiration,
        aiohttp_session=session,
    )


async def metadata_alone(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Ask for no content where workflows are listed and watched."""
    if request.url.path.endswith(f"/{PLURAL}"):
        request.headers["Accept"] = METADATA.format("" if "watch" in request.url.query else "List")
    return await handler(request)


class ListResponse(aiohttp.ClientResponse):
    """An answer whose items are a list: of metadata alone the API server says null where there are none."""

    async def json(self, **options: Any) -> Any:
        content = await super().json(**options)
        if isinstance(content, dict) and content.get("items", ()) is None:
            content["items"] = []
        return content
