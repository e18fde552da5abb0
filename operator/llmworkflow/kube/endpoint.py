"""Asks an endpoint for its verdict on itself."""

import aiohttp

from llmworkflow.core.report import JobReport
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.report import ENDPOINT_PATH, of_text

TIMEOUT = aiohttp.ClientTimeout(total=5)


async def verdict(session: aiohttp.ClientSession, child: ChildRecord) -> JobReport | None:
    """The report of the endpoint, None where it has none yet, or does not answer."""
    try:
        async with session.get(f"{child.url}{ENDPOINT_PATH}", timeout=TIMEOUT) as response:
            return of_text(await response.read(), child) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None  # it is asked again
