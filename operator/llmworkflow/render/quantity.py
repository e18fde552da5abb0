"""Arithmetic on Kubernetes quantities."""

import re
from decimal import Decimal

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_FACTORS = {suffix: Decimal(1024) ** power for power, suffix in enumerate(_BINARY)} | {
    suffix: Decimal(1000) ** power for power, suffix in enumerate(_DECIMAL, start=-3)
}
_FORM = re.compile(r"(?P<number>[0-9.]+(?:[eE][-+]?[0-9]+)?)(?P<suffix>[A-Za-z]*)")


def half(quantity: str | int) -> str:
    """Half of an amount of memory, in the largest binary unit that leaves no fraction."""
    amount, unit = parse(quantity) // 2, 0
    while amount and amount % 1024 == 0 and unit < len(_BINARY) - 1:
        amount, unit = amount // 1024, unit + 1
    return f"{amount}{_BINARY[unit]}"


def parse(quantity: str | int) -> int:
    """The amount in whole units, bytes for memory."""
    return int(number(quantity))


def number(quantity: str | int) -> Decimal:
    """The amount, of CPUs or bytes."""
    found = _FORM.fullmatch(str(quantity))
    if found is None or found["suffix"] not in _FACTORS:
        raise ValueError(f"{quantity!r} is no quantity such as 500m, 2 or 16Gi")
    return Decimal(found["number"]) * _FACTORS[found["suffix"]]
