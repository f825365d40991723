"""Loops and choices of TensorFlow, called eagerly, against the Loop and If that they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import onnx_ir as ir
import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub

pytestmark = pytest.mark.tensorflow

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ROW = [[X[:1]]]


def ops(hub: Hub) -> list[str]:
    return [node.op_type for node in hub.graph.all_nodes()]


def loop_of(hub: Hub) -> ir.Node:
    (found,) = [node for node in hub.graph if node.op_type == "Loop"]
    return found


# ---------------------------------------------------------------------------------------------------- loops


def test_a_loop_that_only_counts_has_a_number_of_trips_and_carries_no_counter() -> None:
    hub = agree(
        lambda x: tf.while_loop(lambda i, y: i < 5, lambda i, y: (i + 1, y * 1.5 + 1), [0, x])[1],
        X,
        free={0: [0]},
        more=ROW,
    )
    loop = loop_of(hub)
    assert loop.inputs[0].const_value.numpy() == 5
    assert len(loop.inputs) == 3


def test_a_condition_on_what_is_computed() -> None:
    agree(
        lambda x: tf.while_loop(lambda i, y: tf.reduce_sum(y) < 100.0, lambda i, y: (i + 1, y * 1.5 + 1), [0, x]),
        X,
        more=[[X + 100]],
    )


@pytest.mark.parametrize("most", [0, 3, 7])
def test_maximum_iterations(most: int) -> None:
    def body(i: Any, y: Any) -> Any:
        return i + 1, y * 1.5 + 1

    agree(lambda x: tf.while_loop(lambda i, y: tf.reduce_sum(y) < 60.0, body, (0, x), maximum_iterations=most), X)


@pytest.mark.parametrize(
    ("start", "step", "compare"),
    [(1, 2, tf.less_equal), (9, -1, tf.greater), (9, -3, tf.greater_equal), (-4, 3, tf.less), (0, 1, tf.not_equal)],
)
def test_counters_of_any_start_step_and_bound(start: int, step: int, compare: Callable[..., Any]) -> None:
    def function(x: Any, n: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            return i + step, y * 1.5 + tf.cast(i, tf.float32)

        return tf.while_loop(lambda i, y: compare(i, n), body, [start, x])

    bounds = (6, 3) if compare is tf.not_equal else (6, 1, -3, 9, 12)
    agree(function, X, np.int32(bounds[0]), more=[[X, np.int32(n)] for n in bounds[1:]])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_counters_of_every_width(dtype: Any) -> None:
    def function(n: Any) -> Any:
        one = tf.ones_like(n)
        return tf.while_loop(lambda i, s: i < n, lambda i, s: (i + one, s + i), [tf.zeros_like(n), one])

    agree(function, dtype(7), more=[[dtype(0)], [dtype(1)]])


def test_a_counter_that_is_never_stopped_by_its_bound_wraps_as_the_integer_does() -> None:
    def function(x: Any) -> Any:
        return tf.while_loop(
            lambda i, k: k < 300, lambda i, k: (i + tf.constant(1, tf.int8), k + 1), [tf.constant(0, tf.int8), x]
        )

    agree(function, np.int32(0))


def test_a_value_whose_shape_grows() -> None:
    def function(x: Any) -> Any:
        return tf.while_loop(
            lambda i, y: i < 4,
            lambda i, y: (i + 1, tf.concat([y, x[:1]], 0)),
            [0, x],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 4])],
        )[1]

    agree(function, X, free={0: [0]}, more=ROW)


def test_values_that_change_places_and_values_that_are_handed_on() -> None:
    def function(a: Any, b: Any, n: Any) -> Any:
        return tf.while_loop(lambda i, p, q, r: i < n, lambda i, p, q, r: (i + 1, q, p + r, r), [0, a, b, a * 2])

    for count in (0, 1, 2, 5):
        agree(function, X, X * 2, np.int32(count))


def test_loops_and_choices_within_a_loop_use_what_is_around_them() -> None:
    def function(x: Any, w: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            z = tf.while_loop(lambda j, u: j < i, lambda j, u: (j + 1, u + tf.cast(j, tf.float32) * w), [0, y])[1]
            return i + 1, tf.cond(tf.reduce_sum(z) > 3, lambda: z - w, lambda: z * 2)

        return tf.while_loop(lambda i, y: i < 4, body, [0, x])[1]

    agree(function, X, np.float32(0.5), free={0: [0]}, more=[[X[:1], np.float32(-1)]])


def test_booleans_integers_and_strings_are_carried() -> None:
    def function(x: Any) -> Any:
        return tf.while_loop(
            lambda flag, n, s: tf.logical_and(flag, n < 9),
            lambda flag, n, s: (n < 6, n * 2, tf.where(n > 2, s, "many")),
            [True, x, tf.constant("few")],
        )

    agree(function, np.int64(1), more=[[np.int64(3)], [np.int64(9)]])


def test_a_complex_value_is_carried_by_its_parts() -> None:
    def function(x: Any) -> Any:
        turned = tf.while_loop(
            lambda i, z: i < 3, lambda i, z: (i + 1, z * tf.complex(0.5, 1.0)), [0, tf.complex(x, x * 2)]
        )[1]
        return tf.math.real(turned), tf.math.imag(turned)

    agree(function, X, free={0: [0]}, more=ROW)


# ------------------------------------------------------------------------------------------------ autograph


def test_break_continue_and_return() -> None:
    @tf.function
    def function(x: Any, limit: Any) -> Any:
        y, count = x, 0
        for i in tf.range(10):
            if i % 3 == 1:
                continue
            if tf.reduce_sum(y) > limit:
                break
            y = y + 1.0
            count += 1
        return y, count, i

    agree(function, X, np.float32(50), more=[[X, np.float32(-50)], [X, np.float32(1e6)]])


def test_an_early_return() -> None:
    @tf.function
    def function(x: Any) -> Any:
        if tf.reduce_max(x) < 0.0:
            return x - 1.0
        total = tf.constant(0.0)
        while total < 10.0:
            total += tf.reduce_max(x) + 1.0
        return x * total

    agree(function, X, more=[[-np.abs(X) - 1]])


def test_collatz() -> None:
    @tf.function
    def function(n: Any) -> Any:
        steps = tf.constant(0)
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        return steps

    agree(function, np.int32(7), more=[[np.int32(1)], [np.int32(27)]])


def test_rows_of_a_tensor_one_after_the_other() -> None:
    @tf.function
    def function(x: Any) -> Any:
        total = tf.zeros([4])
        for row in x:
            total = total * 0.5 + row
        return total

    agree(function, X, free={0: [0]}, more=ROW)


# ---------------------------------------------------------------------------------- functions of higher order


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.scan(lambda a, b: a + b, x),
        lambda x: tf.scan(lambda a, b: a * 0.5 + b, x, reverse=True),
        lambda x: tf.scan(lambda a, b: (a[0] + b, a[1] * b), x, initializer=(x[0], x[0] + 1)),
        lambda x: tf.map_fn(lambda b: tf.reduce_sum(b) * b, x),
        lambda x: tf.map_fn(lambda b: (b > 0, tf.argmax(b)), x, fn_output_signature=(tf.bool, tf.int64)),
        lambda x: tf.map_fn(lambda pair: pair[0] * pair[1], (x, x + 1), fn_output_signature=tf.float32),
        lambda x: tf.foldl(lambda a, b: a * 2.0 + b, x),
        lambda x: tf.foldr(lambda a, b: a * 2.0 + b, x),
        lambda x: tf.foldl(lambda a, b: a + tf.reduce_sum(b), x, initializer=tf.constant(1.0)),
        lambda x: tf.vectorized_map(lambda b: tf.reduce_sum(b) * b + tf.nn.softmax(b), x),
        lambda x: tf.map_fn(lambda b: tf.map_fn(lambda e: e * e, b), x),
    ],
    ids=[
        *("scan", "scan_reverse", "scan_pair", "map", "map_types", "map_pair", "foldl", "foldr", "foldl_initial"),
        *("vectorized_map", "map_of_map"),
    ],
)
def test_functions_of_higher_order(function: Callable[..., Any]) -> None:
    agree(function, X, free={0: [0, 1]}, more=[[X[:1]], [np.ones((5, 2), np.float32)]])


def test_a_map_becomes_a_scan_output() -> None:
    hub = hub_of(lambda x: tf.map_fn(lambda b: tf.reduce_sum(b) * b, x), X, free={0: [0]})
    assert "ScatterND" not in ops(hub)
    assert len(loop_of(hub).outputs) == 1


# -------------------------------------------------------------------------------------------------- choices


def test_a_choice_by_a_condition() -> None:
    hub = agree(
        lambda x: tf.cond(tf.reduce_sum(x) > 1, lambda: x * 2, lambda: x - 1),
        X,
        free={0: [0]},
        more=[[X + 1], [X[:1]]],
    )
    assert ops(hub).count("If") == 1


def test_a_choice_of_several_things_some_of_which_are_the_same() -> None:
    def function(x: Any, y: Any) -> Any:
        return tf.cond(x[0, 0] > 0, lambda: (x, y, x + y, tf.constant(1)), lambda: (y, y, x - y, tf.constant(2)))

    agree(function, X, X[::-1].copy(), more=[[X[::-1].copy(), X]])


def test_branches_of_different_shapes() -> None:
    def function(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x[:1], lambda: tf.concat([x, x], 0))

    agree(function, X, free={0: [0]}, more=[[X + 1], [X[:1]]])


def test_a_condition_that_is_known_leaves_its_branch_only() -> None:
    hub = agree(lambda x: tf.cond(tf.constant(False), lambda: x * 2, lambda: x - 1), X)
    assert ops(hub) == ["Sub"]


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.bool_])
def test_conditions_of_any_type(dtype: Any) -> None:
    def function(x: Any, k: Any) -> Any:
        then, other = (tf.function(f).get_concrete_function(tf.TensorSpec([3, 4])) for f in (tf.exp, tf.abs))
        return tf.raw_ops.If(cond=k, input=[x], Tout=[tf.float32], then_branch=then, else_branch=other)[0]

    agree(function, X, dtype(1), more=[[X, dtype(0)]])


def test_a_condition_of_rank_one_tells_whether_it_has_elements() -> None:
    def function(x: Any, k: Any) -> Any:
        then, other = (tf.function(f).get_concrete_function(tf.TensorSpec([3, 4])) for f in (tf.exp, tf.abs))
        return tf.raw_ops.StatelessIf(cond=k, input=[x], Tout=[tf.float32], then_branch=then, else_branch=other)[0]

    agree(function, X, np.zeros(2, np.float32), free={1: [0]}, more=[[X, np.zeros(0, np.float32)]])


@pytest.mark.parametrize("indices", [range(-1, 5)])
def test_a_choice_by_number(indices: Sequence[int]) -> None:
    def function(x: Any, i: Any) -> Any:
        return tf.switch_case(i, [lambda: x * 2, lambda: x - 1, lambda: tf.zeros_like(x)])

    agree(function, X, np.int32(0), more=[[X, np.int32(i)] for i in indices])


def test_a_choice_by_number_with_a_default() -> None:
    def function(x: Any, i: Any) -> Any:
        return tf.switch_case(i, {1: lambda: x * 2, 0: lambda: x - 1}, default=lambda: x * 7)

    agree(function, X, np.int32(0), more=[[X, np.int32(i)] for i in (-3, 1, 2, 4)])


def test_the_first_case_that_holds() -> None:
    def function(x: Any) -> Any:
        total = tf.reduce_sum(x)
        return tf.case([(total < -1, lambda: x * 2), (total < 1, lambda: x - 1)], default=lambda: x * 7)

    agree(function, X, more=[[X - 1], [X + 1]])


def test_choices_within_choices() -> None:
    def function(x: Any) -> Any:
        total = tf.reduce_sum(x)
        inner = lambda: tf.cond(total > 10, lambda: x * 3, lambda: x * 2 + total)  # noqa: E731
        return tf.cond(total > 0, inner, lambda: x - total)

    agree(function, X, more=[[X + 0.1], [X + 5], [X - 5]])


def test_functions_that_call_functions() -> None:
    @tf.function
    def twice(x: Any) -> Any:
        return x * 2, {"sum": tf.reduce_sum(x)}

    @tf.function
    def function(x: Any) -> Any:
        first, others = twice(x)
        return twice(first)[0] + others["sum"]

    assert "Function" not in ops(agree(function, X, free={0: [0]}, more=ROW))


def test_a_custom_gradient_does_not_matter() -> None:
    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        return tf.minimum(x, 1.0), lambda upstream: upstream

    agree(clipped, X)


def test_a_value_that_changes_its_rank_is_refused_by_name() -> None:
    def function(x: Any) -> Any:
        return tf.while_loop(
            lambda i, y: i < 2,
            lambda i, y: (i + 1, tf.expand_dims(y, 0)),
            [0, x],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape(None)],
        )[1]

    with pytest.raises(Unsupported, match="rank"):
        hub_of(function, X)
