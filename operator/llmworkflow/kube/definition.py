"""Whether the API server knows workflows at all."""

import asyncio
import logging

from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import LLM_WORKFLOW

PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Definition:
    """Asks now and then. Kopf, which watches workflows, picks them up by itself and does not say whether it could."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.absent = False

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self._api.list(LLM_WORKFLOW, self._namespace, accept=METADATA.format("List"), limit="1")
                self.absent = False
            except ApiError as error:
                self._note(error)
            await asyncio.sleep(PAUSE_SECONDS)

    def _note(self, error: ApiError) -> None:
        """What else is wrong with the API server is told by the watches."""
        if error.status == 404 and not self.absent:
            self.absent = True
            logger.warning("the API server has no %s of %s", LLM_WORKFLOW.kind, LLM_WORKFLOW.api_version)
