"""Money on the command line: read and written to the last digit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.cli.tenants import _dollars, _microusd
from zjops.domain.errors import UsageError
from zjops.domain.wire_billing import CREDIT_MOST_MICROUSD


@given(st.integers(1, CREDIT_MOST_MICROUSD))
def test_what_is_written_is_read_again(microusd: int) -> None:
    assert _microusd(_dollars(microusd)) == microusd


@pytest.mark.parametrize(
    ("text", "microusd"), [("5", 5_000_000), ("5.00", 5_000_000), ("$1,234.5", 1_234_500_000), ("0.000001", 1)]
)
def test_amounts_are_read_as_people_write_them(text: str, microusd: int) -> None:
    assert _microusd(text) == microusd


@pytest.mark.parametrize("text", ["", "five", "0", "-5", "0.0000001", "1e99", "nan", "inf", "1000000.01", "5 USD"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--usd "):
        _microusd(text)


@pytest.mark.parametrize(("microusd", "text"), [(5_000_000, "$5.00"), (1, "$0.000001"), (1_234_500_000, "$1,234.50")])
def test_dollars_have_the_digits_that_there_are(microusd: int, text: str) -> None:
    assert _dollars(microusd) == text
