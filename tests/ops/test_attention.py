"""Attention and rotary embedding over their attribute matrix, against the function's own definition in onnx."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees
from onnx.reference import ReferenceEvaluator

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(19)
B, HEADS, L, S, E, V = 2, 4, 3, 5, 8, 6


def real(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def operands(kv_heads: int, packed: bool, past: int) -> list[np.ndarray]:
    q, k, v = real(B, HEADS, L, E), real(B, kv_heads, S, E), real(B, kv_heads, S, V)
    if packed:
        q, k, v = (x.transpose(0, 2, 1, 3).reshape(B, x.shape[2], -1) for x in (q, k, v))
    return [q, k, v]


MASKS = {
    "none": lambda keys: None,
    "float2": lambda keys: real(L, keys),
    "bool2": lambda keys: np.tril(np.ones((L, keys), bool), 1),
    "float4": lambda keys: real(B, 1, L, keys),
    "bool4": lambda keys: RNG.random((1, HEADS, L, keys)) > 0.2,
    "empty_row": lambda keys: np.arange(L)[:, None] * np.ones((1, keys)) > 0,
}
CASES: dict[str, Node] = {}
for kv_heads, packed, past, mask, causal in itertools.product((4, 2, 1), (False, True), (0, 2), MASKS, (0, 1)):
    attributes: dict[str, object] = {"is_causal": causal}
    if packed:
        attributes |= {"q_num_heads": HEADS, "kv_num_heads": kv_heads}
    if kv_heads == 2:
        attributes["softcap"] = 1.5
    if kv_heads == 1:
        attributes["scale"] = 0.3
    caches = [real(B, kv_heads, past, E), real(B, kv_heads, past, V)] if past else []
    given = [*operands(kv_heads, packed, past), MASKS[mask](S + past), *caches]
    name = f"{kv_heads}_{'packed' if packed else 'heads'}_{past}_{mask}_{causal}"
    CASES[name] = Node("Attention", given, attributes, outputs=3 if past else 1)
for mode, softcap in itertools.product(range(4), (0.0, 2.0)):
    if mode or not softcap:  # the reference shows mode 0 after the softcap, the function's body before it
        given = [*operands(2, False, 2), real(L, S + 2), real(B, 2, 2, E), real(B, 2, 2, V)]
        shown = {"qk_matmul_output_mode": mode, "softcap": softcap}
        CASES[f"mode_{mode}_{softcap}"] = Node("Attention", given, shown, outputs=4)
for left, right, causal in itertools.product((-1, 0, 1), (-1, 0, 1), (0, 1)):
    attributes = {"left_window_size": left, "right_window_size": right, "is_causal": causal}
    CASES[f"window_{left}_{right}_{causal}"] = Node("Attention", operands(2, False, 0), attributes)
for causal, mask in itertools.product((0, 1), ("none", "float2")):
    given = [*operands(2, False, 0), MASKS[mask](S), None, None, np.array([3, 5])]
    CASES[f"padded_{causal}_{mask}"] = Node("Attention", given, {"is_causal": causal})
CASES["short_mask"] = Node("Attention", [*operands(2, False, 0), real(L, 4), None, None, np.array([3, 4])])
CASES["short_bool_mask"] = Node(
    "Attention", [*operands(2, False, 0), np.ones((L, 4), bool), None, None, np.array([3, 4])]
)
CASES["precision"] = Node("Attention", operands(2, False, 0), {"softmax_precision": 11})


@pytest.mark.parametrize("form", ["frozen", "free"])
@pytest.mark.parametrize("name", CASES)
def test_attention(name: str, form: Form) -> None:
    node = CASES[name]
    expected = ReferenceEvaluator(node.model("plain")).run(None, node.arrays())
    agrees(node, form, expected=expected[: node.outputs], rtol=1e-4, atol=1e-5)


ROTARY: dict[str, Node] = {}
for packed, interleaved, size, positions in itertools.product((False, True), (0, 1), (0, 4), (False, True)):
    x = real(B, L, HEADS * E) if packed else real(B, HEADS, L, E)
    half = (size or E) // 2
    caches = [real(50, half), real(50, half)] if positions else [real(B, L, half), real(B, L, half)]
    given = [x, *caches, *([RNG.integers(0, 50, (B, L))] if positions else [])]
    attributes = {"interleaved": interleaved, "rotary_embedding_dim": size} | (
        {"num_heads": HEADS} if packed or size else {}
    )
    ROTARY[f"{'packed' if packed else 'heads'}_{interleaved}_{size}_{positions}"] = Node(
        "RotaryEmbedding", given, attributes
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ROTARY)
def test_rotary_embedding(name: str, form: Form) -> None:
    agrees(ROTARY[name], form)
