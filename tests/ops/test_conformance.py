"""Every backend case of the onnx package through the TensorFlow writer, frozen and plain, against limits.toml."""

from __future__ import annotations

import warnings

import pytest
from cases import all_cases
from conformance import run_case
from limits import complaints, limits

pytestmark = pytest.mark.tensorflow
SLICES = 24


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("mode", ["frozen", "plain"])
def test_cases_pass_or_are_refused_for_a_known_reason(mode: str, part: int) -> None:
    cases = [case for case in all_cases() if case.core][part::SLICES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [run_case(case, mode) for case in cases]
    assert not complaints(results, limits())


def test_limits_name_cases_that_exist() -> None:
    assert set(limits()) <= {case.name for case in all_cases()}
