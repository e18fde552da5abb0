"""Data that stages read."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import (
    JsonObject,
    Name,
    Operational,
    Result,
    SpecModel,
    Text,
    at_most_one,
    exactly_one,
)
from llmworkflow.api.spec.addresses import DATA_SCHEMES, address_rule
from llmworkflow.api.spec.common import SecretSource

DataFormat = Literal["jsonl", "json", "csv", "parquet", "text", "images", "list"]


class DataSource(SpecModel):
    """A file, folder or bucket of rows."""

    cel_rules = (address_rule("uri", DATA_SCHEMES),)

    uri: Result[Text]
    """Where the rows are: volume:, file://, s3://, gs://, https:// or hf://datasets/<owner>/<name>[@<revision>]/<path>;
    a folder stands for all its files."""
    format: Result[DataFormat | None] = None
    """Format of the files; told by their endings when unset. Each line of a text is a row with one column, text,
    and so is each text of a list (JSON); each file of images is a row with the columns path and image."""
    dataset: Result[Text | None] = None
    """Entry of LLaMA-Factory's dataset_info.json, which is the uri or lies in its folder, in the volume or a bucket;
    the uri is the data itself when unset. The entry says which columns hold the parts of a row, in place of
    prompt.columns, and its formatting has to be that of prompt.format; with format custom it only names the file."""
    credentials_from: Operational[SecretSource | None] = None
    """Credentials of the source, as environment variables; those of spec.storage when unset."""


class Split(SpecModel):
    """Takes validation rows out of the training rows."""

    fraction: Result[Annotated[float, Field(gt=0, lt=1)]] = 0.1
    """Part of the rows, or of the groups, that validates."""
    group_by: Result[Text | None] = None
    """Column whose equal values stay on one side; each row stands for itself when unset."""
    seed: Result[int] = 0
    """Seed of the choice."""


class TrainingData(SpecModel):
    """Rows to train and validate on."""

    rules = (at_most_one("validation", "split"),)

    train: Result[Annotated[list[DataSource], Field(min_length=1, max_length=16)]]
    """Training rows, the sources one after the other."""
    validation: Result[Annotated[list[DataSource], Field(min_length=1, max_length=16)] | None] = None
    """Validation rows; none when neither this nor split is set."""
    split: Result[Split | None] = None
    """Validation rows taken out of the training rows."""


class BatchInput(SpecModel):
    """Rows that a batch answers."""

    rules = (exactly_one("uri", "stage", "items"),)
    cel_rules = (address_rule("uri", DATA_SCHEMES),)

    uri: Result[Text | None] = None
    """Where the rows are: volume:, file://, s3://, gs://, https:// or hf://datasets/<owner>/<name>[@<revision>]/<path>;
    a folder stands for all its files."""
    stage: Result[Name | None] = None
    """An earlier batch whose rows are read: the columns that it kept, its answers in a column of the stage's name, and
    in `<stage>_error` why a row has none."""
    items: Result[Annotated[list[JsonObject], Field(min_length=1, max_length=1000)] | None] = None
    """Rows written out here."""
    format: Result[DataFormat | None] = None
    """Format of the files; told by their endings when unset."""
    limit: Result[Annotated[int, Field(ge=1)] | None] = None
    """Number of rows taken, chosen by the seed; all when unset."""
    seed: Result[int] = 0
    """Seed of the choice of rows."""
    id_column: Result[Text | None] = None
    """Column that identifies a row over several batches; its place in the data when unset."""
    credentials_from: Operational[SecretSource | None] = None
    """Credentials of the source, as environment variables; those of spec.storage when unset."""
