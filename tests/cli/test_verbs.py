"""The verbs as a user calls them: what they print, and with which exit code they end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from isthmus.cli.main import main

onnxruntime = pytest.mark.onnxruntime
tensorflow = pytest.mark.tensorflow


def twisted(path: Path) -> Path:
    """The same model with one weight changed."""
    model = onnx.load(path)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] += 1
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    other = path.with_name("twisted.onnx")
    onnx.save(model, other)
    return other


@onnxruntime
@tensorflow
def test_convert_to_a_saved_model(linear, tmp_path, run_isthmus) -> None:
    done = run_isthmus("convert", linear, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"]["agrees"]
    assert (tmp_path / "out" / "saved_model.pb").is_file()
    assert not done.stderr, "a pipe was talked to"
    beside = json.loads((tmp_path / "out.isthmus.json").read_text())
    assert beside == report
    assert str(tmp_path) not in json.dumps(report), "an absolute path has left the machine"
    batches = {sample["sizes"]["batch"] for sample in report["verdict"]["samples"]}
    assert len(batches) >= 2


@onnxruntime
def test_convert_to_onnx_keeps_names_and_free_dimensions(linear, tmp_path, capsys) -> None:
    assert main(["convert", str(linear), str(tmp_path / "again.onnx")]) == 0
    model = onnx.load(tmp_path / "again.onnx")
    assert model.graph.input[0].name == "x"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {t.name for t in model.graph.initializer} == {"weight", "bias"}
    assert "agrees" in capsys.readouterr().out


@onnxruntime
def test_conversion_is_deterministic(linear, tmp_path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert main(["convert", str(linear), str(tmp_path / name / "m.onnx"), "-q"]) == 0
    for file in ("m.onnx", "m.onnx.isthmus.json"):
        left, right = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        if file.endswith(".json"):
            left, right = (without_seconds(json.loads(side)) for side in (left, right))
        assert left == right


def without_seconds(report: dict) -> dict:
    return {**report, "ledger": [{**change, "seconds": 0} for change in report["ledger"]]}


@onnxruntime
def test_verify_tells_agreement_from_disagreement(linear, capsys) -> None:
    assert main(["verify", str(linear), str(linear), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["grade"] == "exact"
    assert main(["verify", str(linear), str(twisted(linear)), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["grade"] in ("drift", "wrong")
    assert main(["verify", str(linear), str(twisted(linear)), "--atol", "100"]) == 0


@onnxruntime
def test_locate_names_the_first_value_that_parts(linear, capsys) -> None:
    assert main(["locate", str(linear), str(linear)]) == 0
    assert "nothing diverges" in capsys.readouterr().out
    assert main(["locate", str(linear), str(twisted(linear)), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["value"] == "product"


def test_inspect_never_runs_the_model(linear, capsys) -> None:
    assert main(["inspect", str(linear), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["parameters"] == 8
    assert summary["ops"] == {"Add": 1, "MatMul": 1, "Relu": 1}
    assert summary["signature"]["inputs"][0]["shape"] == ["batch", 3]


@pytest.mark.torch
def test_inspect_a_program(tmp_path, capsys) -> None:
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(net, (torch.ones(2, 3),), dynamic_shapes=({0: batch},)), tmp_path / "n.pt2")
    assert main(["inspect", str(tmp_path / "n.pt2"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["format"] == "PyTorch exported program"
    assert summary["parameters"] == 16
    assert summary["ops"] == {"aten.linear.default": 1, "aten.relu.default": 1}
    assert summary["signature"]["inputs"][0]["shape"][1] == 3


@tensorflow
def test_inspect_a_saved_model(linear, tmp_path, capsys) -> None:
    assert main(["convert", str(linear), str(tmp_path / "out"), "--no-verify", "-q"]) == 0
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["format"] == "TensorFlow SavedModel"
    assert [spec["name"] for spec in summary["signature"]["inputs"]] == ["x"]
    assert summary["ops"]["MatMul"] == 1


@tensorflow
def test_check_names_every_blocker_at_once(tmp_path, capsys) -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 18, "com.nobody" : 1]>
    f (float[n] x) => (float[n] y) {
        a = com.nobody.First (x)
        b = com.nobody.Second (a)
        c = com.nobody.First (b)
        y = Relu (c)
    }
    """
    path = tmp_path / "foreign.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    assert main(["check", str(path), "--to", "saved_model", "--json"]) == 3
    support = json.loads(capsys.readouterr().out)
    assert {blocker["op"]: blocker["count"] for blocker in support["blockers"]} == {
        "com.nobody.First": 2,
        "com.nobody.Second": 1,
    }
    assert main(["convert", str(path), str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err
    assert "com.nobody.First" in error and "com.nobody.Second" in error
    assert not (tmp_path / "out").exists()


def test_doctor_speaks_json(capsys) -> None:
    main(["doctor", "--json"])
    health = json.loads(capsys.readouterr().out)
    assert {"onnx", "torch", "onnxruntime"} <= {finding["package"] for finding in health["findings"]}


@onnxruntime
def test_user_inputs_are_judged_first(linear, tmp_path, capsys) -> None:
    np.savez(tmp_path / "data.npz", x=np.ones((4, 3), np.float32))
    assert main(["verify", str(linear), str(linear), "--inputs", str(tmp_path / "data.npz"), "--json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    assert samples[0]["origin"] == "user"
    assert samples[0]["sizes"] == {"batch": 4}


@pytest.mark.torch
@onnxruntime
def test_a_factory_with_weights(tmp_path, run_isthmus) -> None:
    """Of a training checkpoint, which the judge knows how to open as well."""
    import torch

    (tmp_path / "nets.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh())\n"
    )
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh())
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "trained.pt")
    done = run_isthmus(
        *("convert", "nets:build", "net.onnx", "--weights", "trained.pt", "--input-shapes", "input:[batch,3]")
    )
    assert done.returncode == 0, done.stderr
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert np.array_equal(stored["0.bias"], net.state_dict()["0.bias"].numpy())


def test_a_factory_whose_framework_is_missing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("without_torch.py").write_text('raise ModuleNotFoundError("No module named \'torch\'", name="torch")\n')
    assert main(["inspect", "without_torch:build"]) == 5
    assert "torch is not installed, and without_torch imports it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["convert", "nowhere.onnx", "out"],
        ["convert", "{linear}", "out", "--to", "onnx", "--input-shapes", "x:[1"],
        ["convert", "{linear}", "out.onnx", "--atol", "much"],
        ["convert", "{linear}", "out.pt2", "--to", "onnx", "--no-verify"],
        ["convert", "{linear}", "out", "--opset", "20"],
        ["convert", "{linear}", "out.onnx", "--input-layouts", "y:NHWC"],
        ["convert", "{linear}", "out.onnx", "--dtype", "float16"],
        ["inspect", "model.xyz"],
    ],
)
def test_a_wrong_call_ends_with_2(arguments, linear, capsys) -> None:
    assert main([a.format(linear=linear) for a in arguments]) == 2
    assert "isthmus: " in capsys.readouterr().err
