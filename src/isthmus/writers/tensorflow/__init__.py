"""The TensorFlow writer: a hub becomes one `tf.function` a signature, and a SavedModel.

TensorFlow is imported when one of these is called, not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.hub.model import Hub
from isthmus.quiet import import_tensorflow
from isthmus.types import Blocker, Options

if TYPE_CHECKING:
    from isthmus.writers.tensorflow.record import Recorded


def write_saved_model(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Record ``hub`` and write it to ``path``, a folder that is made; return the live module.

    ``None`` for ``path`` writes nothing. Raises errors.Unsupported with every blocker at once.
    """
    import_tensorflow()
    from isthmus.writers.tensorflow import saved_model

    return saved_model.write_saved_model(hub, path, options=options)


def blockers(hub: Hub, options: Options | None = None) -> list[Blocker]:
    """Everything that TensorFlow refuses of this hub, by a trace that reads no large weight and runs nothing."""
    import_tensorflow()
    from isthmus.writers.tensorflow import record

    return record.blockers(hub, options)
