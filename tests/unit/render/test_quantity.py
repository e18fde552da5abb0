"""Arithmetic on quantities."""

from __future__ import annotations

import pytest

from llmworkflow.render.quantity import half, number, parse


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [(2, 2), ("2", 2), ("1500m", 1), ("1Ki", 1024), ("1.5Gi", 1610612736), ("2G", 2 * 10**9), ("1e3", 1000)],
)
def test_parse(quantity: str | int, amount: int) -> None:
    assert parse(quantity) == amount


@pytest.mark.parametrize(("quantity", "amount"), [("500m", 0.5), (2, 2), ("1.5", 1.5), ("1Ki", 1024)])
def test_number(quantity: str | int, amount: float) -> None:
    assert float(number(quantity)) == amount


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("32Gi", "16Gi"), ("1Gi", "512Mi"), ("1.5Gi", "768Mi"), ("2G", "976562.5Ki"), (0, "0")],
)
def test_half(quantity: str | int, expected: str) -> None:
    assert parse(half(quantity)) == parse(expected)


def test_what_is_no_quantity() -> None:
    with pytest.raises(ValueError, match="'lots' is no quantity"):
        parse("lots")
