"""Every backend case of the onnx package through every writer, frozen and plain, against limits.toml."""

from __future__ import annotations

import warnings

import pytest
from cases import all_cases
from conformance import CARRY, forms_of, run_case
from limits import complaints, limits

SLICES = 24
WRITERS = [pytest.param(writer, marks=getattr(pytest.mark, writer)) for writer in CARRY]


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("mode", ["frozen", "plain"])
@pytest.mark.parametrize("writer", WRITERS)
def test_cases_pass_or_are_refused_for_a_known_reason(writer: str, mode: str, part: int) -> None:
    cases = [case for case in all_cases() if case.core][part::SLICES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [
            result
            for case in cases
            for result in run_case(case, mode, writer=writer, forms=forms_of(case, mode, writer))
        ]
    assert not complaints(results, limits(writer))


@pytest.mark.parametrize("writer", CARRY)
def test_limits_name_cases_that_exist(writer: str) -> None:
    assert set(limits(writer)) <= {case.name for case in all_cases()}
