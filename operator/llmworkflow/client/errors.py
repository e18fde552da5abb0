"""What keeps a command from doing what it was asked, in words that a person can act on."""

from llmworkflow.api.errors import ClientError
from llmworkflow.kube.errors import ApiError

__all__ = ["ClientError", "RefusedError"]

_REMEDIES = {
    0: "see that it runs and can be reached from here, or choose another context with --context",
    401: "log in to the cluster again, or choose another context with --context",
    403: "`llmworkflow doctor` shows what you may do; an admin of the namespace can give you the role that is missing",
    504: "try again: the API server was too busy to answer",
}


class RefusedError(ClientError):
    """The API server did not do it; status 0 where it did not answer."""

    def __init__(self, error: ApiError) -> None:
        self.status = error.status
        self.reason = error.reason
        self.told = str(error)
        remedy = _REMEDIES.get(error.status)
        super().__init__(f"{error}; {remedy}" if remedy else str(error))

    @property
    def passing(self) -> bool:
        """Whether it may pass by itself."""
        return self.status in (0, 429) or self.status >= 500
