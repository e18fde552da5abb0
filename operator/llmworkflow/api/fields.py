"""What every model of the resource shares: camelCase names, closed fields, and the mark on each field.

A field is marked `Result` when changing it changes what a stage produces, and so the stage's revision, or
`Operational` when it only changes how, when or where the stage runs. `core.revision` hashes by these marks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")


class Mark(Enum):
    """Whether a field determines the result of a stage."""

    RESULT = "result"
    OPERATIONAL = "operational"


Result = Annotated[T, Mark.RESULT]
Operational = Annotated[T, Mark.OPERATIONAL]

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=40)]
"""A DNS-1035 label, short enough to be part of the names of children."""

MODEL_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"

Text = Annotated[str, Field(min_length=1, max_length=4096)]
"""Text that means something, such as a name that belongs to someone else, an address or a template."""

Positive = Annotated[int, Field(ge=1)]

JsonObject = dict[str, Any]
"""An object whose fields belong to someone else: an engine, a pod."""


# the grammar of resource.Quantity in k8s.io/apimachinery, without a sign
QUANTITY_PATTERN = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$"


class _QuantityForm:
    """Checks the text of a quantity; the API server takes it or a whole number, and no other number."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=QUANTITY_PATTERN, max_length=32, strict=True)
        return core_schema.union_schema([text, core_schema.int_schema(ge=0, strict=True)])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        return {"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN}


Quantity = Annotated[str | int, _QuantityForm()]
"""A Kubernetes quantity such as 2, 500m or 16Gi."""


@dataclass(frozen=True)
class MapBy:
    """Marks a list as a map by one field of its items, so that server-side apply merges it item by item."""

    key: str  # camelCase

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse_duplicates, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonObject:
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}
        return {**handler(schema), **keys}

    def _refuse_duplicates(self, items: list[Any]) -> list[Any]:
        first: dict[str, int] = {}
        for position, item in enumerate(items):
            name = getattr(item, _snake(self.key))
            if first.setdefault(name, position) != position:
                raise PydanticCustomError(
                    "duplicate_key",
                    "the {key} {name} is given twice",
                    {"key": self.key, "name": name, "first": first[name], "position": position},
                )
        return items


@dataclass(frozen=True)
class CelRule:
    """A rule for the API server; by itself its half of what `api.checks` says in more words."""

    cel: str
    message: str


@dataclass(frozen=True)
class Rule(CelRule):
    """A rule over fields of one model: as CEL for the API server and as Python for everything else."""

    holds: Callable[[Any], bool]
    found: Callable[[Any], str] = lambda model: ""  # what there is instead, for the message

    def told_of(self, model: Any) -> str:
        """The message about a model that breaks the rule."""
        return f"{self.message}{self.found(model)}"


def exactly_one(*fields: str) -> Rule:
    """A rule that exactly one of the fields (camelCase) is set."""
    return _count_rule(fields, "exactly one", "== 1", lambda count: count == 1)


def at_most_one(*fields: str) -> Rule:
    """A rule that no two of the fields (camelCase) are set together."""
    return _count_rule(fields, "at most one", "<= 1", lambda count: count <= 1)


def _count_rule(fields: tuple[str, ...], number: str, cel_bound: str, fits: Callable[[int], bool]) -> Rule:
    def found(model: Any) -> list[str]:
        return [field for field in fields if getattr(model, _snake(field)) is not None]

    return Rule(
        cel=f"[{', '.join(f'has(self.{field})' for field in fields)}].filter(x, x).size() {cel_bound}",
        message=f"set {number} of {', '.join(fields)}",
        holds=lambda model: fits(len(found(model))),
        found=lambda model: f"; found {' and '.join(found(model)) or 'none'}",
    )


def set_for(field: str, chooser: str, choice: str) -> Rule:
    """A rule that a field (camelCase) is set where another one has a value, and only there."""

    def is_set(model: Any) -> bool:
        return getattr(model, _snake(field)) is not None

    def chosen(model: Any) -> str:
        return str(getattr(model, _snake(chooser)))

    def found(model: Any) -> str:
        if not is_set(model):
            return f"; set {field}"
        return f"; {chooser} is {chosen(model)}: set {chooser}: {choice}, or remove {field}"

    return Rule(
        cel=f"(self.{chooser} == '{choice}') == has(self.{field})",
        message=f"{field} goes with {chooser} {choice}, which needs it",
        holds=lambda model: (chosen(model) == choice) == is_set(model),
        found=found,
    )


class SpecModel(BaseModel):
    """Base of all models of the resource: closed, immutable, camelCase outside and snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    cel_rules: ClassVar[tuple[CelRule, ...]] = ()
    layered: ClassVar[bool] = False
    """Laid over another instance by the fields that are set, so the API server must not fill in defaults."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, content: Any) -> Any:
        """A field that is null is unset, as the API server has it."""
        if not isinstance(content, dict):
            return content
        return {name: value for name, value in content.items() if value is not None}

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.told_of(self))
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonObject:
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        if rules := (*cls.rules, *cls.cel_rules):
            schema["x-kubernetes-validations"] = [
                {"rule": rule.cel, "message": rule.message} for rule in rules
            ]
        for field in schema["properties"].values() if cls.layered else ():
            field.pop("default", None)
        return reference

    def dump(self) -> JsonObject:
        """The model as JSON with camelCase names and every default filled in."""
        return self.model_dump(by_alias=True, mode="json")

    def written(self) -> JsonObject:
        """The model as JSON with camelCase names and only the fields that were set."""
        return self.model_dump(by_alias=True, mode="json", exclude_unset=True)

    def given(self) -> dict[str, Any]:
        """Values of the fields that were set, be it to their defaults; a null says nothing."""
        values = {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }
        return {name: value for name, value in values.items() if value is not None}


def mark_of(field: FieldInfo) -> Mark | None:
    """The mark of a field, None where it was forgotten."""
    return next((item for item in field.metadata if isinstance(item, Mark)), None)


def map_key(field: FieldInfo) -> str | None:
    """The camelCase key by which a list is a map, None where the field is no such list."""
    below = (item for part in get_args(field.annotation) for item in getattr(part, "__metadata__", ()))
    return next((item.key for item in (*field.metadata, *below) if isinstance(item, MapBy)), None)


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a model by their camelCase names."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def models_below(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and every model that its fields hold, each once, in the order in which they are met."""
    found = {model: None}
    for _, field in fields_of(model):
        for held in models_in(field.annotation):
            found |= dict.fromkeys(models_below(held))
    return list(found)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type names, itself or in its arguments."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
