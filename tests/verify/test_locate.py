"""The first value at which two ONNX models part is found, at its place, on any number of values."""

from __future__ import annotations

from pathlib import Path

import judged_nets as nets
import onnx
import onnx_ir as ir
import pytest

from isthmus.errors import UsageError
from isthmus.types import Options
from isthmus.verify import locate
from isthmus.verify.locate import first_divergence

pytestmark = pytest.mark.onnxruntime

CHAIN = (
    "g (float[n, m] x, int64[n] i) => (float[n, m] y, int64[n, 1] t)"
    " <float[1] k = {K}, float[5] w = {1, 2, 3, 4, 5}> { a = Mul(x, k)"
    " e = Gather(w, i) c = Constant<value_ints = [1]>() u = Unsqueeze(e, c) b = OP(a, u)"
    " d = Relu(b) y = Neg(d) t = ArgMax<axis = -1>(y) }"
)


def chain(path: Path, k: str = "2.0", op: str = "Add") -> str:
    return nets.save(path, CHAIN.replace("K", k, 1).replace("OP", op))


def test_equal_models_do_not_part(tmp_path: Path) -> None:
    assert first_divergence(chain(tmp_path / "a.onnx"), chain(tmp_path / "b.onnx")) is None


@pytest.mark.parametrize("at_once", [1, 3, 32])
def test_the_first_of_all_that_differ_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(locate, "_AT_ONCE", at_once)
    found = first_divergence(
        chain(tmp_path / "a.onnx"), onnx.load(chain(tmp_path / "b.onnx", op="Sub")), options=Options(samples=2)
    )
    assert found is not None
    assert (found.value, found.where.op) == ("b", "Sub")
    assert found.comparison.grade == "wrong"


def test_a_weight_that_moved_shows_at_its_first_use_and_the_models_stay_as_they_were(tmp_path: Path) -> None:
    left, right = (ir.load(chain(tmp_path / f"{k}.onnx", k=k)) for k in ("2.0", "2.5"))
    found = first_divergence(left, right)
    assert found is not None
    assert found.value == "a"
    assert [value.name for value in left.graph.outputs] == ["y", "t"]


def test_weights_in_a_file_beside_the_model_are_found(tmp_path: Path) -> None:
    for name, k in (("left", "2.0"), ("right", "2.5")):
        (tmp_path / name).mkdir()
        model = ir.load(chain(tmp_path / "m.onnx", k=k))
        ir.save(model, tmp_path / name / "m.onnx", external_data="m.data", size_threshold_bytes=0)
    found = first_divergence(str(tmp_path / "left" / "m.onnx"), str(tmp_path / "right" / "m.onnx"))
    assert found is not None
    assert found.value == "a"


def test_what_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"looks inside ONNX models, not net\.pt2"):
        first_divergence("net.pt2", chain(tmp_path / "a.onnx"))
    other = nets.save(tmp_path / "b.onnx", "g (float[n] x) => (float[n] z) { z = Abs(x) }")
    with pytest.raises(UsageError, match="no value of the same name"):
        first_divergence(chain(tmp_path / "a.onnx"), other)
