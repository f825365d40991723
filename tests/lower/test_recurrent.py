"""The attributes of recurrent operators."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from isthmus.lower.recurrent import ACTIVATIONS, Activation, activations_of
from isthmus.lower.walk import Context, Refusal

CONTEXT = Context(ir.node("LSTM", []), None, ())  # type: ignore[arg-type]


def test_parameters_go_in_order_to_those_that_take_one():
    assert activations_of(CONTEXT, ("Sigmoid", "HardSigmoid", "Tanh", "Elu"), (0.3, 2.0), (0.1,)) == [
        Activation("sigmoid", 0.0, 0.0),
        Activation("hardsigmoid", 0.3, 0.1),
        Activation("tanh", 0.0, 0.0),
        Activation("elu", 2.0, 0.0),
    ]


def test_parameters_that_are_missing_are_the_operators_own():
    assert activations_of(CONTEXT, ("LeakyRelu", "Affine", "HardSigmoid"), None, ()) == [
        Activation("leakyrelu", 0.01, 0.0),
        Activation("affine", 1.0, 0.0),
        Activation("hardsigmoid", 0.2, 0.5),
    ]


def test_another_name_is_refused():
    with pytest.raises(Refusal, match="'gelu' is no activation"):
        activations_of(CONTEXT, ("Gelu",), None, None)


@pytest.mark.tensorflow
def test_tensorflow_has_all_of_them():
    from isthmus.writers.tensorflow.ops._recurrent import activations_of as functions

    assert len(functions(CONTEXT, sorted(ACTIVATIONS), None, None)) == len(ACTIVATIONS)


@pytest.mark.torch
def test_pytorch_has_all_of_them():
    from isthmus.writers.torch.ops._recurrent import activations_of as functions

    assert len(functions(CONTEXT, sorted(ACTIVATIONS), None, None)) == len(ACTIVATIONS)
