"""Each runner loads its kind, says what it takes, and answers by name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import judged_nets as nets
import ml_dtypes
import numpy as np
import pytest

from isthmus.errors import (
    FrameworkMissing,
    InvalidModel,
    IsthmusError,
    RunnerFailed,
    UnsafeInput,
    Unsupported,
    UsageError,
)
from isthmus.types import Blocker, Signature, TensorSpec
from isthmus.verify.runners.codec import Value
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.protocol import (
    LiveRunner,
    ModelRaised,
    SizesRefused,
    error_from,
    plain_error,
    plain_signature,
    signature_from,
)

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.onnxruntime
class TestOnnx:
    def test_a_file_is_described_and_run(self, tmp_path: Path) -> None:
        with ProcessRunner("onnx", nets.scale(tmp_path / "m.onnx")) as runner:
            assert runner.signature == Signature(
                (TensorSpec("x", "float32", ("n", 3)),), (TensorSpec("y", "float32", ("n", 3)),)
            )
            for _ in range(2):
                assert np.array_equal(runner.run({"x": X})["y"], 2 * X)
            assert runner.peak_rss > 10_000_000

    @pytest.mark.parametrize(
        ("name", "kind"), [("bfloat16", ml_dtypes.bfloat16), ("float8e4m3fn", ml_dtypes.float8_e4m3fn)]
    )
    def test_types_that_numpy_lacks_go_through(self, tmp_path: Path, name: str, kind: type) -> None:
        text = f"g ({name}[n] x, float[n] z) => ({name}[n] y, float[n] w) {{ y = Identity(x)  w = Neg(z) }}"
        given = np.array([1, 2, 0.5]).astype(kind)
        with ProcessRunner("onnx", nets.save(tmp_path / "m.onnx", text)) as runner:
            assert runner.signature.inputs[0].dtype == name
            made = runner.run({"x": given, "z": np.ones(3, np.float32)})
        assert made["y"].dtype == kind
        assert made["y"].tobytes() == given.tobytes()
        assert made["w"].tolist() == [-1, -1, -1]

    def test_sequences_optionals_and_strings(self, tmp_path: Path) -> None:
        text = (
            "g (seq(float[n]) s, optional(float[n]) o, string[n] t)"
            " => (seq(float[n]) a, bool b, string[n] c)"
            "{ k = Constant<value_int = 0>() l = SequenceAt(s, k) a = SequenceInsert(s, l)"
            "  b = OptionalHasElement(o) c = Identity(t) }"
        )
        words = np.array(["", "ü"], dtype=object)
        with ProcessRunner("onnx", nets.save(tmp_path / "m.onnx", text)) as runner:
            assert [spec.kind for spec in runner.signature.inputs] == ["sequence", "optional", "tensor"]
            made = runner.run({"s": [X[0], X[1]], "o": None, "t": words})
        assert [part.tolist() for part in made["a"]] == [X[0].tolist(), X[1].tolist(), X[0].tolist()]
        assert made["b"].tolist() is False
        assert made["c"].tolist() == ["", "ü"]

    def test_an_input_that_does_not_fit_is_the_models_refusal_and_not_its_death(self, tmp_path: Path) -> None:
        with ProcessRunner("onnx", nets.scale(tmp_path / "m.onnx")) as runner:
            with pytest.raises(ModelRaised, match="INVALID_ARGUMENT"):
                runner.run({"x": np.ones((2, 5), np.float32)})
            with pytest.raises(UsageError, match="needs 'x' and was fed 'z'"):
                runner.run({"z": X})
            assert runner.run({"x": X})["y"].shape == (2, 3)

    def test_a_missing_kernel_is_refused_by_name(self, tmp_path: Path) -> None:
        text = 'g (uint16[n] x) => (uint16[n] y) { y = BitShift<direction = "LEFT">(x, x) }'
        with pytest.raises(Unsupported) as caught:
            ProcessRunner("onnx", nets.save(tmp_path / "m.onnx", text))
        assert caught.value.blockers[0].op == "BitShift-11"

    def test_old_opsets_run_in_the_reference_evaluator(self, tmp_path: Path) -> None:
        path = nets.scale(tmp_path / "m.onnx", 3.0)
        with ProcessRunner("onnx", path, engine="reference") as runner:
            assert runner.signature.inputs == (TensorSpec("x", "float32", ("n", 3)),)
            assert np.array_equal(runner.run({"x": X})["y"], 3 * X)


@pytest.mark.torch
class TestTorch:
    def test_an_exported_program_keeps_names_nesting_and_constants(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")

        class Nested(torch.nn.Module):
            def forward(self, pair, scale, *, shift):
                return {"sum": pair["a"] * scale + pair["b"], "shifted": (pair["a"] + shift,)}

        a, b = torch.randn(2, 3), torch.randn(2, 3)
        n = torch.export.Dim("n")
        shapes = {"pair": {"a": {0: n}, "b": {0: n}}, "scale": None, "shift": None}
        program = torch.export.export(
            Nested(), ({"a": a, "b": b}, 2.0), {"shift": torch.ones(3)}, dynamic_shapes=shapes
        )
        torch.export.save(program, tmp_path / "m.pt2")
        feeds = {"pair_a": X, "pair_b": X, "shift": np.ones(3, np.float32)}
        with ProcessRunner("torch", str(tmp_path / "m.pt2")) as runner:
            assert [spec.name for spec in runner.signature.inputs] == list(feeds)
            made = runner.run(feeds)
        assert np.array_equal(made["sum"], 3 * X)
        assert np.array_equal(made["shifted.0"], X + 1)

    def test_a_signature_names_the_leaves_in_order(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.randn(2, 3),)), tmp_path / "m.pt2")
        spec = TensorSpec("image/0", "float32", (2, 3))
        named = plain_signature(Signature((spec,), (TensorSpec("score:0", "float32", (2, 3)),)))
        with ProcessRunner("torch", str(tmp_path / "m.pt2"), signature=named) as runner:
            assert list(runner.run({"image/0": X - 2})) == ["score:0"]
        with pytest.raises(UsageError, match="takes 1 tensors"):
            ProcessRunner("torch", str(tmp_path / "m.pt2"), signature=plain_signature(Signature((), ())))

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_torchscript_loads_without_its_source(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.jit.trace(torch.nn.Sequential(torch.nn.Tanh()), torch.randn(2, 3)).save(str(tmp_path / "m.pt"))
        with ProcessRunner("torch", str(tmp_path / "m.pt")) as runner:
            (name,) = [spec.name for spec in runner.signature.inputs]
            assert np.allclose(runner.run({name: X})["output"], np.tanh(X), atol=1e-6)

    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_a_factory_takes_weights(self, tmp_path: Path, factories: str, suffix: str) -> None:
        torch = pytest.importorskip("torch")
        weights = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
        path = tmp_path / f"w{suffix}"
        if suffix == ".pt":
            torch.save(weights, path)
        else:
            pytest.importorskip("safetensors.torch").save_file(weights, path)
        with ProcessRunner("torch", f"{factories}:linear", weights=str(path)) as runner:
            assert runner.run({"input": X})["output"].tolist() == [[3, 3], [12, 12]]

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("ill_bred:absent", "has no 'absent'"),
            ("ill_bred:not_a_module", "not an nn.Module"),
            ("no_such:f", "no module"),
        ],
    )
    def test_a_factory_that_is_none_is_named(self, factories: str, source: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            ProcessRunner("torch", source)

    def test_weights_alone_are_no_model(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
        with pytest.raises(InvalidModel, match="weights or a pickled module"):
            ProcessRunner("torch", str(tmp_path / "w.pt"))

    def test_the_feeds_survive_a_model_that_writes_into_its_input(self, factories: str) -> None:
        given = np.ones((2, 4), np.float32)
        with ProcessRunner("torch", f"{factories}:Halves") as runner:
            assert runner.run({"x": given})["output"].shape == (2, 2, 2)
        assert given.tolist() == np.ones((2, 4)).tolist()

    @pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, np.uint16, np.complex64, bool])
    def test_element_types_go_there_and_back(self, kind: type) -> None:
        pytest.importorskip("torch")
        from isthmus.verify.runners.torch import to_numpy, to_torch

        for array in (np.array([[0, 1], [1, 1]]).astype(kind), np.array(1).astype(kind)):
            back = to_numpy(to_torch(array))
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert back.tobytes() == array.tobytes()

    def test_a_live_module_runs_in_eval_mode_and_gets_its_flags_back(self) -> None:
        torch = pytest.importorskip("torch")
        from isthmus.verify.runners.torch import live_module

        module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(3, 2))
        module[1].eval()
        runner = live_module(
            module, lambda feeds: {"y": module(feeds["x"])}, Signature((TensorSpec("x", "float32", ("n", 3)),), ())
        )
        assert np.array_equal(runner.run({"x": X})["y"], runner.run({"x": X})["y"])
        assert (module.training, module[0].training, module[1].training) == (True, True, False)
        with pytest.raises(ModelRaised, match="mat1 and mat2"):
            runner.run({"x": np.ones((2, 5), np.float32)})

    def test_sizes_that_a_program_was_not_made_for_are_no_failure(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")

        class Halves(torch.nn.Module):
            def forward(self, x):
                return x * 2 if x.shape[0] // 4 > 1 else x

        shapes = ({0: torch.export.Dim.AUTO},)
        torch.export.save(torch.export.export(Halves(), (torch.ones(16),), dynamic_shapes=shapes), tmp_path / "m.pt2")
        with ProcessRunner("torch", str(tmp_path / "m.pt2")) as runner:
            (name,) = (spec.name for spec in runner.signature.inputs)
            assert runner.run({name: np.ones(9, np.float32)})["output"].sum() == 18
            with pytest.raises(SizesRefused, match="Guard failed"):
                runner.run({name: np.ones(5, np.float32)})

    def test_a_live_exported_program_runs_though_it_has_one_mode_only(self) -> None:
        torch = pytest.importorskip("torch")
        from isthmus.verify.runners.torch import live_module

        module = torch.export.export(torch.nn.Linear(3, 2), (torch.randn(2, 3),)).module()
        runner = live_module(module, lambda feeds: {"y": module(feeds["x"])}, Signature((), ()), name="program")
        assert runner.run({"x": X})["y"].shape == (2, 2)


@pytest.mark.tensorflow
class TestTensorFlow:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> str:
        tf = pytest.importorskip("tensorflow")

        class Two(tf.Module):
            def __init__(self) -> None:
                self.k = tf.Variable(2.0)

            @tf.function
            def double(self, x, s):
                return {"y": x * self.k, "b": tf.cast(x, tf.bfloat16), "s": tf.strings.join([s, s])}

            @tf.function
            def negate(self, x):
                return {"z": -x}

        model, x = Two(), tf.TensorSpec([None, 3], tf.float32, name="x")
        calls = {
            "serving_default": model.double.get_concrete_function(x, tf.TensorSpec([None], tf.string, name="s")),
            "negative": model.negate.get_concrete_function(x),
        }
        tf.saved_model.save(model, str(tmp_path / "saved"), signatures=calls)
        return str(tmp_path / "saved")

    def test_a_saved_model_is_described_and_run_by_its_signature(self, saved: str) -> None:
        with ProcessRunner("tensorflow", saved) as runner:
            assert runner.signature.inputs == (
                TensorSpec("s", "string", (None,)),
                TensorSpec("x", "float32", (None, 3)),
            )
            made = runner.run({"x": X, "s": np.array(["a", "ß"], dtype=object)})
        assert np.array_equal(made["y"], 2 * X)
        assert made["b"].dtype == ml_dtypes.bfloat16
        assert made["s"].tolist() == ["aa", "ßß"]
        with ProcessRunner("tensorflow", saved, signature_key="negative") as runner:
            assert np.array_equal(runner.run({"x": X})["z"], -X)
        with pytest.raises(UsageError, match="it has signatures negative, serving_default"):
            ProcessRunner("tensorflow", saved, signature_key="other")

    def test_a_folder_that_is_no_saved_model_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match=r"no saved_model\.pb"):
            ProcessRunner("tensorflow", str(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        InvalidModel("bad", hint="fix"),
        UsageError("wrong"),
        UnsafeInput("no", hint="--trust-pickle"),
        RunnerFailed("dead"),
        ModelRaised("refused"),
        FrameworkMissing("onnxruntime", "it is needed"),
        Unsupported("cannot", [Blocker("Op", "has no kernel", "hint")], hint="else"),
    ],
)
def test_an_error_is_the_same_on_both_sides_of_the_pipe(error: IsthmusError) -> None:
    back = error_from(json.loads(json.dumps(plain_error(error))))
    assert (type(back), str(back), back.exit_code) == (type(error), str(error), error.exit_code)


def test_an_error_of_an_unknown_kind_is_a_failed_runner() -> None:
    assert isinstance(error_from({"type": "KeyError", "message": "x"}), RunnerFailed)


def test_a_signature_is_the_same_on_both_sides_of_the_pipe() -> None:
    signature = Signature(
        (TensorSpec("x", "float32", ("n", 3, None)),), (TensorSpec("y", "int64", None, kind="map"),)
    )
    assert signature_from(json.loads(json.dumps(plain_signature(signature)))) == signature


def test_what_a_live_runner_is_given_and_gives() -> None:
    runner = LiveRunner("here", Signature((), ()), {"default": lambda feeds: {"y": feeds["x"] + 1}})
    assert runner.variants == ("default",)
    assert runner.run({"x": X})["y"].tolist() == (X + 1).tolist()


def test_the_failures_of_its_framework_are_the_answer_of_a_live_model() -> None:
    class Failed(Exception):
        """As TensorFlow's ``OpError``, of no kind that Python has."""

    def call(feeds: Mapping[str, Value]) -> dict[str, Value]:
        raise Failed("no such axis")

    runner = LiveRunner("here", Signature((), ()), {"default": call}, failures=(Failed,))
    with pytest.raises(ModelRaised, match="Failed: no such axis"):
        runner.run({})


def test_speaking_of_runners_imports_no_framework() -> None:
    code = (
        "import sys, isthmus.verify.judge, isthmus.verify.ranges\n"
        "from isthmus.verify.runners import onnx, process, tensorflow, torch, worker\n"
        "loaded = {'torch', 'tensorflow', 'onnxruntime', 'onnx', 'onnx_ir', 'keras'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
