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
    """Ask for no content where workflows are watched. A list comes whole: Kopf takes no empty one of metadata."""
    if request.url.path.endswith(f"/{PLURAL}") and "watch" in request.url.query:
        request.headers["Accept"] = METADATA.format("")
    return await handler(request)
