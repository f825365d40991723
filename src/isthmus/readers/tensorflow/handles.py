"""What stands for tensors that ONNX has no type for: resources, lists, complex numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.program import Variable


@dataclass(frozen=True)
class VariableHandle:
    """A resource that holds a variable; ``value`` is the initializer it is read as."""

    variable: Variable
    value: ir.Value


@dataclass(frozen=True)
class ResourceHandle:
    """A resource that is no variable: a lookup table, say. ``thing`` is what the source captured."""

    thing: Any


@dataclass(frozen=True)
class Complex:
    """A complex tensor as pairs: ``pairs`` is real, of shape [..., 2]: the real part, then the imaginary one."""

    pairs: ir.Value


class Refused:
    """Stands for what a refused operation would have made; whatever hangs on it is passed over."""


REFUSED = Refused()
