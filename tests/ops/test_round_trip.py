"""A seeded tenth of the ONNX round trip; ``make conformance`` runs all of it."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
sys.path.insert(0, str(Path(__file__).parent))
import round_trip

pytestmark = pytest.mark.onnxruntime


def test_no_case_gets_worse() -> None:
    cases = round_trip.cases()
    chosen = random.Random(20).sample(cases, len(cases) // 10)
    results = round_trip.run(chosen)
    assert round_trip.unexpected(results) == []
    assert sum(result.after for result in results) >= sum(result.before for result in results)
