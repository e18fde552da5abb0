"""Where data, models and buckets may be, and the rule that an address says so."""

from llmworkflow.api.fields import CelRule

MODEL_SCHEMES = ("hf", "s3", "gs", "volume", "file")
ADAPTER_SCHEMES = ("s3", "gs", "volume", "file")
DATA_SCHEMES = ("volume", "s3", "gs", "hf", "https", "http", "file")
BUCKET_SCHEMES = ("s3", "gs")
ENDPOINT_SCHEMES = ("https", "http")
OUTPUT_SCHEMES = ("volume", "s3", "gs", "file")


def beginnings(schemes: tuple[str, ...]) -> list[str]:
    """How addresses of the schemes begin: a volume's is a path in the storage, and has no host."""
    return ["volume:" if scheme == "volume" else f"{scheme}://" for scheme in schemes]


def address_rule(field: str, schemes: tuple[str, ...]) -> CelRule:
    """A rule that a field, where it is set, has one of the schemes: on a cluster a bare path means nothing."""
    known = beginnings(schemes)
    return CelRule(
        cel=f"!has(self.{field}) || {known}.exists(known, self.{field}.startsWith(known))",
        message=f"{field} begins with one of {', '.join(known)}",
    )
