"""Leadership by a Lease: one replica acts, others stand by with warm caches."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.kube import metrics
from llmworkflow.kube.client import Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import LEASE

DURATION_SECONDS = 15  # that others wait before they take over
RENEW_DEADLINE_SECONDS = 10.0  # after which this replica stops acting; the rest is a margin for slow clocks
RETRY_SECONDS = 2.0
ANSWER_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Leadership:
    """Tries to get the Lease, and to keep it."""

    def __init__(
        self, api: Api, namespace: str, name: str, identity: str, changed: Callable[[bool], None]
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._changed = changed
        self._until = 0.0
        self._was_leading = False
        self._seen: tuple[str, float] = ("", 0.0)  # the holder's latest sign of life, and when it was noticed

    @property
    def leading(self) -> bool:
        """Whether this replica may act now."""
        return time.monotonic() < self._until

    async def run(self) -> None:
        """Get and keep the Lease, until cancelled; then let go of it."""
        try:
            while True:
                await self._try()
                self._tell()
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._release()

    async def _try(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                held = await self._acquire()
        except (ApiError, TimeoutError) as error:
            if not (isinstance(error, ApiError) and error.status == 409):
                logger.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer")
            return
        self._until = began + RENEW_DEADLINE_SECONDS if held else 0.0

    async def _acquire(self) -> bool:
        """Write the Lease where it is free, ours or expired; a conflict means that another was faster."""
        lease = await self._api.get(LEASE, self._namespace, self._name)
        if lease is None:
            await self._api.create(self._lease({}, {}))
            return True
        spec = lease.get("spec") or {}
        if not self._may_take(spec):
            return False
        await self._api.replace(self._lease(lease["metadata"], spec))
        return True

    def _may_take(self, spec: JsonObject) -> bool:
        """By our own clock alone: that of the holder may differ."""
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        sign = f"{holder} {spec.get('renewTime')}"
        if self._seen[0] != sign:
            self._seen = (sign, time.monotonic())
        return time.monotonic() > self._seen[1] + (spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    def _lease(self, metadata: JsonObject, spec: JsonObject, holder: str | None = None) -> JsonObject:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        identity = self._identity if holder is None else holder
        ours = spec.get("holderIdentity") == identity
        named = {"name": self._name, "namespace": self._namespace}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {**named, "resourceVersion": metadata.get("resourceVersion", "")},
            "spec": {
                "holderIdentity": identity,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": spec.get("acquireTime") if ours else now,
                "renewTime": now,
                "leaseTransitions": (spec.get("leaseTransitions") or 0) + (not ours),
            },
        }

    async def _release(self) -> None:
        """Spare the next leader the wait."""
        if not self.leading:
            return
        self._until = 0.0
        self._tell()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                lease = await self._api.get(LEASE, self._namespace, self._name)
                if lease and lease["spec"].get("holderIdentity") == self._identity:
                    await self._api.replace(self._lease(lease["metadata"], lease["spec"], holder=""))
        except (ApiError, TimeoutError) as error:
            logger.warning("lease %s/%s is left to expire: %s", self._namespace, self._name, error)

    def _tell(self) -> None:
        if self.leading == self._was_leading:
            return
        self._was_leading = self.leading
        metrics.IS_LEADER.set(self.leading)
        logger.info("%s the lease %s/%s", "holds" if self.leading else "lost", self._namespace, self._name)
        self._changed(self.leading)
