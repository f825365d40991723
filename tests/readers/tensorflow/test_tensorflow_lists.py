"""Lists of tensors: TensorArray and what it is made of, against TensorFlow called eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub

pytestmark = pytest.mark.tensorflow

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
ROW = [[X[:1]]]
raw = tf.raw_ops


def ops(hub: Hub) -> list[str]:
    return [node.op_type for node in hub.graph.all_nodes()]


# --------------------------------------------------------------------------------------------- TensorArray


def test_an_array_that_a_loop_fills_is_a_scan_output() -> None:
    @tf.function
    def function(x: Any) -> Any:
        rows = tf.shape(x)[0]
        array = tf.TensorArray(tf.float32, size=rows)
        for i in tf.range(rows):
            array = array.write(i, x[i] * 2)
        return array.stack()

    hub = agree(function, X, free={0: [0, 1]}, more=ROW)
    assert "ScatterND" not in ops(hub)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_array_that_is_filled_from_either_end(reverse: bool) -> None:
    @tf.function
    def function(x: Any) -> Any:
        rows = tf.shape(x)[0]
        array = tf.TensorArray(tf.float32, size=rows)
        at = rows - 1 if reverse else 0
        while at >= 0 and at < rows:
            array = array.write(at, x[at] - 1)
            at += -1 if reverse else 1
        return array.stack()

    agree(function, X, free={0: [0]}, more=ROW)


def test_an_array_that_grows() -> None:
    @tf.function
    def function(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        for i in tf.range(5):
            array = array.write(i, x * tf.cast(i, tf.float32))
        return array.stack(), array.size(), array.read(2), array.gather([4, 0, 0])

    agree(function, X, free={0: [0, 1]}, more=ROW)


def test_an_array_that_grows_only_now_and_then() -> None:
    @tf.function
    def function(x: Any) -> Any:
        array, count = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=[]), 0
        for i in tf.range(tf.shape(x)[0]):
            if x[i, 0] > -2:
                array = array.write(count, x[i, 0])
                count += 1
        return array.stack(), count

    agree(function, X, free={0: [0]}, more=[*ROW, [X[1:]]])


def test_an_array_that_is_read_while_it_is_written() -> None:
    @tf.function
    def function(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=8, clear_after_read=False)
        array = array.write(0, x).write(1, x + 1)
        for i in tf.range(2, 8):
            array = array.write(i, array.read(i - 1) + array.read(i - 2))
        return array.stack()

    agree(function, X, free={0: [0, 1]}, more=ROW)


def test_places_that_are_written_in_no_order() -> None:
    @tf.function
    def function(x: Any, order: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=3, element_shape=[4])
        for i in tf.range(3):
            array = array.write(order[i], x[i])
        return array.stack()

    agree(function, X, np.asarray([2, 0, 1], np.int32), more=[[X, np.asarray([0, 1, 1], np.int32)]])


def test_an_array_that_is_split_joined_scattered_and_gathered() -> None:
    @tf.function
    def function(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=3).unstack(x)
        parts = tf.TensorArray(tf.float32, size=2).split(x[:2], [1, 1])
        placed = tf.TensorArray(tf.float32, size=3, element_shape=[4]).scatter([2, 0, 1], x)
        return array.read(1), parts.concat(), placed.stack(), placed.gather([1, 1]), array.concat(), array.size()

    agree(function, X)


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.bool_, np.str_])
def test_elements_of_any_type(dtype: Any) -> None:
    x = X.astype(dtype) if dtype is not np.str_ else np.asarray(["a", "b", "c"], object)

    @tf.function
    def function(x: Any) -> Any:
        array = tf.TensorArray(x.dtype, size=0, dynamic_size=True, clear_after_read=False)
        for i in tf.range(3):
            array = array.write(i, x[2 - i])
        return array.stack(), array.read(0)

    agree(function, x)


def test_arrays_that_choices_fill() -> None:
    @tf.function
    def function(x: Any) -> Any:
        array = tf.TensorArray(tf.float32, size=2, element_shape=[4])
        array = array.write(0, x[0]) if x[0, 0] > 0 else array.write(1, x[1])
        return array.stack()

    agree(function, X, more=[[-X]])


def test_two_arrays_of_one_loop() -> None:
    @tf.function
    def function(x: Any) -> Any:
        first = tf.TensorArray(tf.float32, size=tf.shape(x)[0])
        second = tf.TensorArray(tf.int32, size=tf.shape(x)[0])
        total = tf.zeros([4])
        for i in tf.range(tf.shape(x)[0]):
            total += x[i]
            first, second = first.write(i, total), second.write(i, tf.cast(total[0], tf.int32))
        return first.stack(), second.stack(), total

    agree(function, X, free={0: [0]}, more=ROW)


# ------------------------------------------------------------------------------------------ the operators


def filled(x: Any) -> Any:
    return raw.TensorListFromTensor(tensor=x, element_shape=tf.constant([4]))


def contents(held: Any, dtype: Any = tf.float32, shape: Any = (4,)) -> Any:
    return raw.TensorListStack(input_handle=held, element_shape=tf.constant(shape, tf.int32), element_dtype=dtype)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: contents(raw.TensorListPushBack(input_handle=filled(x), tensor=x[0])),
        lambda x: contents(
            raw.TensorListPushBack(
                input_handle=raw.EmptyTensorList(
                    element_shape=tf.constant(-1), max_num_elements=5, element_dtype=tf.float32
                ),
                tensor=x[1],
            )
        ),
        lambda x: contents(
            raw.TensorListPopBack(
                input_handle=filled(x), element_shape=tf.constant([4]), element_dtype=tf.float32
            ).output_handle
        ),
        lambda x: (
            raw.TensorListPopBack(
                input_handle=filled(x), element_shape=tf.constant([4]), element_dtype=tf.float32
            ).tensor
        ),
        lambda x: contents(raw.TensorListResize(input_handle=filled(x), size=2)),
        lambda x: contents(raw.TensorListResize(input_handle=filled(x), size=5)),
        lambda x: raw.TensorListLength(input_handle=filled(x)),
        lambda x: raw.TensorListElementShape(input_handle=filled(x), shape_type=tf.int32),
        lambda x: raw.TensorListGetItem(
            input_handle=filled(x), index=1, element_shape=tf.constant([4]), element_dtype=tf.float32
        ),
        lambda x: contents(
            raw.TensorListSetItem(input_handle=filled(x), index=1, item=x[0] * 9, resize_if_index_out_of_bounds=False)
        ),
        lambda x: raw.TensorListGather(
            input_handle=filled(x), indices=[2, 0, 2], element_shape=tf.constant([4]), element_dtype=tf.float32
        ),
        lambda x: contents(
            raw.TensorListScatter(tensor=x, indices=tf.constant([4, 0, 1]), element_shape=tf.constant([4]))
        ),
        lambda x: contents(
            raw.TensorListScatterV2(
                tensor=x, indices=tf.constant([2, 0, 1]), element_shape=tf.constant([4]), num_elements=-1
            )
        ),
        lambda x: contents(
            raw.TensorListScatterV2(
                tensor=x, indices=tf.constant([2, 0, 1]), element_shape=tf.constant([4]), num_elements=6
            )
        ),
        lambda x: contents(
            raw.TensorListScatterIntoExistingList(input_handle=filled(x), tensor=x[:2] + 9, indices=[2, 0])
        ),
        lambda x: raw.TensorListConcatV2(
            input_handle=raw.TensorListSplit(
                tensor=x, element_shape=tf.constant([-1, 4]), lengths=tf.constant([1, 1, 1], tf.int64)
            ),
            element_shape=tf.constant([-1, 4]),
            leading_dims=tf.constant([], tf.int64),
            element_dtype=tf.float32,
        ),
        lambda x: contents(
            raw.TensorListConcatLists(input_a=filled(x), input_b=filled(x + 1), element_dtype=tf.float32)
        ),
        lambda x: (
            contents(raw.TensorListReserve(element_shape=tf.constant([4]), num_elements=3, element_dtype=tf.float32))
            + x
        ),
    ],
    ids=[
        *("push", "push_empty", "pop_list", "pop_item", "shrink", "extend", "length", "shape", "get", "set"),
        *("gather", "scatter", "scatter_v2", "scatter_sized", "scatter_into", "split_concat", "concat", "zeros"),
    ],
)
def test_operators_of_lists(function: Callable[..., Any]) -> None:
    agree(function, X)


def test_what_was_pushed_by_a_loop_is_popped_by_the_next() -> None:
    @tf.function
    def function(x: Any) -> Any:
        held = raw.EmptyTensorList(element_shape=tf.constant([4]), max_num_elements=-1, element_dtype=tf.float32)
        for i in tf.range(tf.shape(x)[0]):
            held = raw.TensorListPushBack(input_handle=held, tensor=x[i])
        total = tf.zeros([4])
        for _ in tf.range(tf.shape(x)[0]):
            held, last = raw.TensorListPopBack(
                input_handle=held, element_shape=tf.constant([4]), element_dtype=tf.float32
            )
            total = total * 2 + last
        return total

    agree(function, X, free={0: [0]}, more=ROW)


def test_a_list_of_tensors_of_several_sizes_is_refused_by_name() -> None:
    def function(x: Any) -> Any:
        return tf.TensorArray(tf.float32, size=2, infer_shape=False).split(x, [1, 2]).read(1)

    with pytest.raises(Unsupported, match=r"TensorListSplit.*different sizes"):
        hub_of(function, X)


def test_a_list_of_lists_is_refused_by_name() -> None:
    def function(x: Any) -> Any:
        outer = raw.EmptyTensorList(
            element_shape=tf.constant([], tf.int32), max_num_elements=-1, element_dtype=tf.variant
        )
        outer = raw.TensorListPushBack(input_handle=outer, tensor=filled(x))
        return raw.TensorListLength(input_handle=outer)

    with pytest.raises(Unsupported, match="EmptyTensorList"):
        hub_of(function, X)
