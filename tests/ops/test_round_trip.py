"""The ONNX round trip over every backend case: what ONNX Runtime passes before, it passes after."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

import round_trip

pytestmark = pytest.mark.onnxruntime


def test_no_case_gets_worse() -> None:
    results = round_trip.run()
    assert round_trip.unexpected(results) == []
    assert sum(result.after for result in results) > sum(result.before for result in results)
