"""The PyTorch writer: a hub becomes a tree of modules, an exported program, or readable source.

PyTorch is imported when one of these is called, not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.hub.model import Hub
from isthmus.types import Blocker, Options

if TYPE_CHECKING:
    from isthmus.writers.torch.record import Recorded


def write_program(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Record ``hub`` and write it to ``path`` as a ``.pt2``, unless that is None; return the live module.

    Raises errors.Unsupported with every blocker at once.
    """
    from isthmus.writers.torch import export

    return export.write_program(hub, path, options=options)


def write_python(hub: Hub, path: Path | None, *, options: Options | None = None) -> Recorded:
    """Record ``hub`` and write it to ``path`` as source, with its weights in a ``.safetensors`` beside it.

    Nothing of the model is run. Raises errors.Unsupported with every blocker at once.
    """
    from isthmus.writers.torch import source

    return source.write_python(hub, path, options=options)


def blockers(hub: Hub, options: Options | None = None) -> list[Blocker]:
    """Everything that PyTorch refuses of this hub, by a recording that runs nothing."""
    from isthmus.writers.torch import record

    return record.blockers(hub, options)
