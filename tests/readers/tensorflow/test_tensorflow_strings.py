"""Text and lookup tables: TensorFlow eagerly against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import agree, hub_of, run_hub

from isthmus.errors import InvalidModel, UnsafeInput, Unsupported
from isthmus.readers.tensorflow import read_tensorflow

TEXT = np.array([["Ab É", "x1"], ["", "ÜßZ"]], object)
EMPTY = np.array([], object)


@pytest.mark.parametrize("function", [tf.strings.lower, tf.strings.upper])
def test_ascii_letters_change_case(function):
    agree(lambda x: function(x), TEXT, free={0: [0]}, more=[[TEXT[:0]]])
    with pytest.raises(Unsupported, match="machine"):
        hub_of(lambda x: function(x, encoding="utf-8"), TEXT)


@pytest.mark.parametrize("separator", ["", "-", ", "])
def test_join(separator):
    agree(lambda x, y: tf.strings.join([x, y, "é", x], separator), TEXT, TEXT[::-1], free={0: [0], 1: [0]})
    agree(lambda x: tf.strings.join([x], separator), TEXT)
    agree(lambda x: x + "!", TEXT)


def test_equality():
    agree(lambda x, y: (x == y, tf.equal(x, "x1")), TEXT, TEXT[::-1])


def test_regular_expressions():
    agree(lambda x: tf.strings.regex_full_match(x, "[a-zA-Z]+[ 0-9].?"), TEXT, free={0: [0]}, more=[[TEXT[:0]]])
    agree(lambda x: tf.raw_ops.RegexFullMatch(input=x, pattern="(?i)AB .*"), TEXT)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.int16, bool])
def test_numbers_as_text(dtype):
    agree(tf.strings.as_string, np.array([[0, 1], [120, 5]]).astype(dtype))


def test_numbers_whose_digits_onnx_does_not_fix_are_refused():
    with pytest.raises(Unsupported, match="digits"):
        hub_of(tf.strings.as_string, np.float32([1.5]))
    with pytest.raises(Unsupported, match="padding"):
        hub_of(lambda x: tf.strings.as_string(x, width=5, fill="0"), np.int32([1]))


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.float32, tf.float64])
def test_text_as_numbers(dtype):
    text = ["12", " -7 ", "+3", *(["1e3", "-.5", "inf", "3.14159274101"] if dtype.is_floating else [])]
    agree(lambda x: tf.strings.to_number(x, dtype), np.array(text, object))


@pytest.mark.parametrize("maxsplit", [-1, 1, 2])
@pytest.mark.parametrize("separator", [",", "--"])
def test_split(separator, maxsplit):
    text = np.array(["a,,b", "", ",--,", "a--b--é--d"], object)
    parts = lambda x: tf.raw_ops.StringSplitV2(input=x, sep=separator, maxsplit=maxsplit)  # noqa: E731
    agree(parts, text, free={0: [0]}, more=[[EMPTY], [np.array(["", ""], object)]])


@pytest.mark.parametrize("skip_empty", [True, False])
def test_split_as_it_was(skip_empty):
    text = np.array(["a,,b", "", ",", "x,é"], object)
    agree(lambda x: tf.raw_ops.StringSplit(input=x, delimiter=",", skip_empty=skip_empty), text, free={0: [0]})


def test_splitting_at_white_space_is_refused():
    with pytest.raises(Unsupported, match="white space"):
        hub_of(lambda x: tf.raw_ops.StringSplitV2(input=x, sep=""), TEXT[0])


KEYS = {
    tf.int32: [3, -1, 7],
    tf.int64: [3, -1, 1 << 40],
    tf.string: ["a", "bé", ""],
}
VALUES = {
    tf.int32: [10, 20, -30],
    tf.int64: [10, 20, -(1 << 40)],
    tf.string: ["x", "ü", ""],
    tf.float32: [0.1, -2.5, 3],
    tf.float64: [0.1, -2.5, 3],
    tf.bool: [True, False, True],
}
PAIRS = [(tf.int32, v) for v in (tf.int32, tf.string, tf.float32, tf.float64)]
PAIRS += [(tf.int64, v) for v in VALUES if v != tf.bool] + [(tf.string, v) for v in VALUES]


def _asked(key):
    asked = [[KEYS[key][1], KEYS[key][0]], [KEYS[key][2], "zz" if key == tf.string else 99]]
    return np.array(asked, object if key == tf.string else key.as_numpy_dtype)


def _table(key, value, default):
    content = tf.lookup.KeyValueTensorInitializer(KEYS[key], VALUES[value], key, value)
    return tf.lookup.StaticHashTable(content, default)


@pytest.mark.parametrize(("key", "value"), PAIRS, ids=str)
def test_tables(key, value):
    held = _table(key, value, VALUES[value][1])
    agree(lambda x: held.lookup(x), _asked(key), free={0: [0]})
    agree(lambda x: (held.size(), held.lookup(x)), _asked(key))


@pytest.mark.parametrize("value", [tf.int64, tf.string, tf.float32], ids=str)
def test_a_default_that_is_data(value):
    held = _table(tf.string, value, VALUES[value][1])
    default = np.array(VALUES[value][0], object if value == tf.string else value.as_numpy_dtype)
    agree(
        lambda x, d: tf.raw_ops.LookupTableFindV2(table_handle=held.resource_handle, keys=x, default_value=d),
        _asked(tf.string), default,
    )  # fmt: skip


def test_a_table_of_vectors_that_nobody_changes():
    held = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, [0.5, -0.5])
    held.insert(["a", "b"], [[1.0, 2.0], [3.0, 4.0]])
    agree(lambda x: held.lookup(x), _asked(tf.string), free={0: [0]})


def test_a_table_that_is_changed_is_refused():
    held = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    def counted(x):
        held.insert(x, tf.zeros_like(x, tf.int64))
        return held.lookup(x)

    with pytest.raises(Unsupported, match="LookupTableInsertV2"):
        hub_of(counted, TEXT[0])


def test_tables_of_saved_models(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nbee\n", encoding="utf-8")

    class Named(tf.Module):
        def __init__(self):
            source = tf.lookup.TextFileInitializer(
                str(names),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            self.numbers = tf.lookup.StaticHashTable(source, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, x):
            return self.numbers.lookup(x)

    model = Named()
    tf.saved_model.save(model, str(tmp_path / "model"))
    names.unlink()
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    agree(lambda x: loaded(x), np.array(["dog", "bee", "cow"], object), free={0: [0]})


def old_vocabulary(folder, words):
    """A SavedModel of TensorFlow 1 with the numbers of the words in a file of its own."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.string, [None], name="x")
        line, whole = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
        content = tf.lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, line)
        y = v1.lookup.StaticHashTable(content, -1).lookup(x)
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            assets_collection=graph.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    return folder


def test_a_file_of_an_old_graph_is_the_models_own(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    folder = old_vocabulary(tmp_path / "model", words)
    words.unlink()
    (found,) = run_hub(read_tensorflow(folder), np.array(["b", "c", "a"], object))
    assert found.tolist() == [1, -1, 0]
    (folder / "assets" / "words.txt").rename(tmp_path / "words.txt")
    (folder / "assets" / "words.txt").symlink_to(tmp_path / "words.txt")
    with pytest.raises(UnsafeInput, match="outside"):
        read_tensorflow(folder)
    (folder / "assets" / "words.txt").unlink()
    with pytest.raises(InvalidModel, match=r"words\.txt"):
        read_tensorflow(folder)


def test_tables_of_old_graphs(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.string, [None], name="x")
        content = v1.lookup.KeyValueTensorInitializer(["a", "b"], np.array([1, 2], np.int64))
        y = v1.lookup.StaticHashTable(content, -1).lookup(x)
        session.run(v1.tables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=v1.tables_initializer()
        )
        builder.save()
        (tmp_path / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())
    live = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    for source in (tmp_path / "model", tmp_path / "frozen.pb", live):
        (found,) = run_hub(read_tensorflow(source), np.array(["b", "c", "a"], object))
        assert found.tolist() == [2, -1, 1]
