"""The table of ONNX Runtime's CPU kernels, as its own registry tells them.

``python tests/passes/kernel_table.py`` writes ``src/isthmus/passes/kernels.json`` anew for the installed runtime.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from isthmus.hub.model import HUB_OPSET
from isthmus.hub.opset import FLOOR
from isthmus.hub.schema import history_of, op_names
from isthmus.passes import kernels

PATH = Path(kernels.__file__).with_name("kernels.json")

_OPEN = 2**31 - 1
"""How the registry spells that a kernel has no last version."""

Kernel = dict[str, frozenset[str]]


def table() -> dict[str, dict[str, list[dict[str, str]]]]:
    """Operator → version that opsets 18 to 26 may hold → kernels: type parameter → element types it takes."""
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    registered = _registered()
    for op in op_names():
        schemas = [schema for schema in history_of(op) if schema.since_version <= HUB_OPSET]
        in_force = [
            schema
            for schema, following in itertools.zip_longest(schemas, schemas[1:])
            if not schema.deprecated and (following is None or following.since_version > FLOOR)
        ]
        if in_force:
            found[op] = {
                str(schema.since_version): [
                    {name: " ".join(sorted(types)) for name, types in sorted(kernel.items())}
                    for kernel in _merged([_by_parameter(k, schema) for k in _serving(registered[op], schema)])
                ]
                for schema in in_force
            }
    return found


def _registered() -> dict[str, list[tuple[tuple[int, int], Kernel]]]:
    kept: dict[str, list[tuple[tuple[int, int], Kernel]]] = defaultdict(list)
    for kernel in runtime.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider" and kernel.domain == "":
            types = {name: frozenset(allowed) for name, allowed in kernel.type_constraints.items()}
            kept[kernel.op_name].append((tuple(kernel.version_range), types))
    return kept


def _serving(registered: list[tuple[tuple[int, int], Kernel]], schema) -> list[Kernel]:
    """A kernel without a last version serves its first one alone: the runtime does not know what later ones mean."""
    since = schema.since_version
    return [
        types for (first, last), types in registered if first == since or (first < since <= last and last != _OPEN)
    ]


def _by_parameter(kernel: Kernel, schema) -> Kernel:
    """Constraints under the schema's names; the registry may name an operand instead, or one whose type is fixed."""
    formals = {formal.name: formal.type_str for formal in (*schema.inputs, *schema.outputs)}
    parameters = {constraint.type_param_str for constraint in schema.type_constraints}
    named = {name if name in parameters else formals.get(name, name): types for name, types in kernel.items()}
    tensors = {name: frozenset(map(_element, types)) - {""} for name, types in named.items() if name in parameters}
    return {name: types for name, types in tensors.items() if types}


def _element(text: str) -> str:
    """``float`` of ``tensor(float)``; empty for sequences, optionals and maps, of which the table says nothing."""
    return text.removeprefix("tensor(").removesuffix(")") if text.startswith("tensor(") else ""


def _merged(kernels: list[Kernel]) -> list[Kernel]:
    """Kernels that differ in one parameter are one, with all of its types."""
    merged = list(kernels)
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(merged):
            for other in merged[i + 1 :]:
                apart = [name for name in one if one[name] != other.get(name)]
                if one.keys() == other.keys() and len(apart) <= 1:
                    merged[i] = {name: one[name] | other[name] for name in one}
                    merged.remove(other)
                    changed = True
                    break
            if changed:
                break
    return merged


def text() -> str:
    """The file's content: one line an operator."""
    lines = [f'"onnxruntime": {json.dumps(onnxruntime.__version__)}']
    lines += [f"{json.dumps(op)}: {json.dumps(versions)}" for op, versions in table().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    PATH.write_text(text(), encoding="utf-8")
    print(f"{PATH}: {PATH.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
