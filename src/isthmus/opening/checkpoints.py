"""Values of variables that stay in their checkpoint until they are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from isthmus.errors import InvalidModel

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key under which a checkpoint of TensorFlow 2 tells its objects."""

_VALUE = "VARIABLE_VALUE"


@dataclass(frozen=True)
class Held:
    """A value of a checkpoint, read from the file whenever it is asked for."""

    reader: Any = field(repr=False)
    key: str

    @property
    def dtype(self) -> tf.DType:
        return self.reader.get_variable_to_dtype_map()[self.key]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.reader.get_variable_to_shape_map()[self.key])

    def numpy(self) -> Any:
        """Its value. Raises errors.InvalidModel where the checkpoint's data are missing or cut off."""
        try:
            return self.reader.get_tensor(self.key)
        except (tf.errors.OpError, LookupError, RuntimeError) as error:
            raise InvalidModel(f"variable {self.key!r} cannot be read: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of a SavedModel, and the objects that it was made of."""

    reader: Any = field(repr=False)
    nodes: Any = field(repr=False)

    def values(self, root: Any) -> Mapping[int, Held] | None:
        """The values of the variables below ``root``, which was loaded without them, by the handles of these.

        None where they are not exactly what the checkpoint holds.
        """
        shapes = self.reader.get_variable_to_shape_map()
        view = tf.train.TrackableView(root)
        found: dict[int, Held] = {}
        seen: set[int] = set()
        pending = [(root, 0)]
        while pending:
            thing, place = pending.pop()
            if place in seen:
                continue
            seen.add(place)
            key = self._key(place)
            if isinstance(thing, tf.Variable) != (key is not None):
                return None
            if key is not None:
                if key not in shapes or not thing.shape.is_compatible_with(shapes[key]):
                    return None
                found[id(thing.handle)] = Held(self.reader, key)
            children = view.children(thing)
            named = ((child.local_name, child.node_id) for child in self.nodes[place].children)
            pending += [(children[name], node) for name, node in named if name in children]
        slots = {slot.slot_variable_node_id for node in self.nodes for slot in node.slot_variables}
        wanted = {place for place in range(len(self.nodes)) if self._key(place) is not None}
        return found if wanted - slots <= seen else None

    def _key(self, place: int) -> str | None:
        return next((a.checkpoint_key for a in self.nodes[place].attributes if a.name == _VALUE), None)


def checkpoint_of(folder: Path) -> Checkpoint | None:
    """The checkpoint of a SavedModel; None where it has none, or where more than variables is restored from it."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    except (tf.errors.OpError, ValueError, LookupError, RuntimeError, DecodeError):
        return None
    plain = all(attribute.name == _VALUE for node in graph.nodes for attribute in node.attributes)
    return Checkpoint(reader, graph.nodes) if plain else None
