"""Give a saved proto the source's names: inputs by any spelling, functions without counters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message  # type: ignore[import-untyped]

from isthmus.writers.tensorflow.backend import scope_name
from isthmus.writers.tensorflow.names import Arguments, sanitized, unique

_COUNTER = re.compile(r"_\d+\Z")
_UNUSED = re.compile(r"_\d+(___redundant_placeholder\d+)\Z")
"""What a loop's condition is handed and does not look at: called by the condition's name, counter and all."""


def name_inputs(meta_graph: Any, key: str, names: Arguments) -> None:
    """Call the inputs of signature ``key`` what the source calls them, wherever a loader looks.

    The signature itself takes every name. What ``tf.saved_model.load`` makes of it takes the ``keywords``.
    """
    inputs = meta_graph.signature_def[key].inputs
    held = {name: inputs[names.traced[name]].SerializeToString() for name in names.order}
    inputs.clear()
    for name, info in held.items():
        inputs[name].ParseFromString(info)
    _name_placeholders(meta_graph, key, names)
    keywords = {names.traced[name]: names.keywords[name] for name in names.order}
    objects = meta_graph.object_graph_def
    for function in _signature_functions(objects, key):
        spelled = [keywords[k] for k in function.argument_keywords]
        del function.argument_keywords[:]
        function.argument_keywords.extend(spelled)
        for entry in function.function_spec.fullargspec.named_tuple_value.values:
            if entry.key == "kwonlyargs":
                for item in entry.value.list_value.values:
                    item.string_value = sanitized(keywords[item.string_value])
        structure = objects.concrete_functions[function.concrete_function_name].canonicalized_input_signature
        _rename_fields(structure.tuple_value.values[1].dict_value.fields, keywords)


def _signature_functions(objects: Any, key: str) -> Iterator[Any]:
    """The bare concrete function that the object graph holds for a signature."""
    for node in objects.nodes:
        if node.user_object.identifier == "signature_map":
            for child in node.children:
                if child.local_name == key:
                    yield objects.nodes[child.node_id].bare_concrete_function


def _rename_fields(fields: Any, keywords: Mapping[str, str]) -> None:
    held = {keywords[old]: fields[old].SerializeToString() for old in fields}
    fields.clear()
    for new, spec in held.items():
        fields[new].ParseFromString(spec)
        fields[new].tensor_spec_value.name = new


def _name_placeholders(meta_graph: Any, key: str, names: Arguments) -> None:
    graph, signature = meta_graph.graph_def, meta_graph.signature_def[key]
    taken = {node.name for node in graph.node}
    renamed = {}
    for name in names.order:
        old = signature.inputs[name].name.partition(":")[0]
        new = f"{key}_{scope_name(name)}"
        if new != old:
            renamed[old] = unique(new, taken)
            taken.add(renamed[old])
            signature.inputs[name].name = f"{renamed[old]}:0"
    for node in graph.node:
        node.name = renamed.get(node.name, node.name)
        for index, reference in enumerate(node.input):
            node.input[index] = renamed.get(reference, reference)


def name_functions(meta_graph: Any) -> dict[str, str]:
    """Number the functions by where they are first mentioned, not by TensorFlow's global counter; sort them so.

    Returns the new names by the old ones.
    """
    library = meta_graph.graph_def.library
    by_name = {function.signature.name: function for function in library.function}
    ordered = list(dict.fromkeys(_mentioned(meta_graph, by_name)))
    taken: set[str] = set()
    names: dict[str, str] = {}
    for old in ordered:
        names[old] = unique(_COUNTER.sub("", old), taken)
        taken.add(names[old])
    for function in library.function:
        arguments = [argument.name for argument in function.signature.input_arg]
        _replace(function, {name: _UNUSED.sub(r"\1", name) for name in arguments if _UNUSED.search(name)})
        for argument in function.arg_attr.values():
            # What is captured is called by its identity in the process that traced it.
            if argument.attr["_user_specified_name"].s.isdigit():
                del argument.attr["_user_specified_name"]
    held = [by_name[old].SerializeToString() for old in ordered]
    del library.function[:]
    for function in held:
        library.function.add().ParseFromString(function)
    _replace(meta_graph, names)
    _number_gradients(library)
    return names


def _number_gradients(library: Any) -> None:
    """Call custom gradients by their functions' names, not by a global counter."""
    types = {}
    for gradient in library.registered_gradients:
        old, gradient.registered_op_type = gradient.registered_op_type, f"CustomGradient-{gradient.gradient_func}"
        types[old.encode()] = gradient.registered_op_type.encode()
    library.registered_gradients.sort(key=lambda gradient: gradient.gradient_func)
    for node in (node for function in library.function for node in function.node_def):
        if "_gradient_op_type" in node.attr:
            attribute = node.attr["_gradient_op_type"]
            attribute.s = types.get(attribute.s, attribute.s)


def _mentioned(meta_graph: Any, by_name: Mapping[str, Any]) -> Iterator[str]:
    """Function names in the order in which the graph, the objects and the functions' bodies mention them."""
    objects = meta_graph.object_graph_def
    saved = [name for node in objects.nodes for name in _strings(node) if name in by_name]
    waiting = [*(n for node in meta_graph.graph_def.node for n in _strings(node) if n in by_name), *saved]
    gradients = {
        g.registered_op_type.encode(): g.gradient_func for g in meta_graph.graph_def.library.registered_gradients
    }
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            yield name
            waiting = [*(n for n in _body(by_name[name], gradients) if n in by_name), *waiting]
    yield from sorted(by_name.keys() - seen, key=lambda name: (len(name), name))


def _body(function: Any, gradients: Mapping[bytes, str]) -> Iterator[str]:
    for node in function.node_def:
        yield from _strings(node)
        if "_gradient_op_type" in node.attr:
            yield gradients.get(node.attr["_gradient_op_type"].s, "")


def _strings(message: Any) -> Iterator[str]:
    """Every string in a message, maps in the order of their keys."""
    for field, value in message.ListFields():
        for item in _items(field, value):
            if isinstance(item, str):
                yield item
            elif isinstance(item, Message):
                yield from _strings(item)


def _items(field: Any, value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return [item for key in sorted(value) for item in (key, value[key])]
    return [value] if isinstance(value, (str, bytes, Message, int, float)) else list(value)


def _replace(message: Any, names: Mapping[str, str]) -> None:
    """Replace strings that are keys of ``names``, map keys included."""
    for field, value in message.ListFields():
        if isinstance(value, Mapping):
            _replace_in_map(value, names)
        elif isinstance(value, str):
            setattr(message, field.name, names.get(value, value))
        elif isinstance(value, Message):
            _replace(value, names)
        elif not isinstance(value, (bytes, int, float)):
            for index, item in enumerate(value):
                if isinstance(item, str):
                    value[index] = names.get(item, item)
                elif isinstance(item, Message):
                    _replace(item, names)


def _replace_in_map(entries: Any, names: Mapping[str, str]) -> None:
    held = []
    for key in list(entries):
        value = entries[key]
        if isinstance(value, Message):
            _replace(value, names)
        elif isinstance(value, str) and value in names:
            entries[key] = names[value]
        if key in names:
            held.append((key, value))
    for key, value in held:
        if isinstance(value, Message):
            entries[names[key]].CopyFrom(value)
        else:
            entries[names[key]] = value
        del entries[key]
