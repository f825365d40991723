"""A PyTorch model: an exported program, a TorchScript file, a factory, or a module of the caller's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from isthmus.errors import UsageError
from isthmus.types import CARRIED_BY_TORCH, Signature, StoredWeight, TensorSpec
from isthmus.verify.runners import codec, gradients
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients
from isthmus.verify.runners.protocol import DEFAULT, LiveRunner, Loaded, SizesRefused, require, signature_from
from isthmus.verify.runners.torch_files import Told, from_factory, from_file

SLOW_PATH = "fast path off"
"""The variant of torch's attention that computes what the graph says, without the fused inference kernel."""

_GUARD = "Guard failed"
"""How an exported program begins to say which sizes it was not made for."""

_NEED = "a PyTorch model is judged by running it there"


def load(source: str, options: Mapping[str, Any]) -> Loaded:
    """Load a ``.pt2``, a TorchScript ``.pt``, a ``package.module:factory`` or source of Isthmus' own, in eval mode.

    ``options``: ``signature`` (plain JSON) names the leaves of the inputs and outputs in their order, which files of
    Isthmus' own tell themselves; ``in_spec`` is the serialised pytree of ``(args, kwargs)`` where inputs are nested;
    ``weights`` is a state dict's file for a factory; ``trust_pickle`` allows one that runs code.
    """
    torch = require("torch", _NEED)
    plain = options.get("signature")
    signature = signature_from(plain) if plain else None
    if ":" in source and not Path(source).exists():
        thing = from_factory(torch, source, options.get("weights"), bool(options.get("trust_pickle")))
        if not isinstance(thing, torch.export.ExportedProgram):
            return _Program(torch, thing, signature, options.get("in_spec"))
        told = Told()
    else:
        thing, told = from_file(torch, Path(source))
        signature = signature or told.signature
    if isinstance(thing, torch.export.ExportedProgram):
        return _Exported(torch, thing, signature, told.stored)
    return _Program(torch, thing, signature, None, told.stored)


def live_module(
    module: Any, call: Callable[[dict[str, Any]], Mapping[str, Any]], signature: Signature, *, name: str = ""
) -> LiveRunner:
    """A module of the caller's process as a runner.

    ``call`` goes from named tensors to named tensors through ``module``. Here it runs in eval mode, without gradients
    unless these are asked for, with torch's attention fast path on and, where the module has such attention, also
    off; the module's training flags, buffers aside, are as they were afterwards.
    """
    torch = require("torch", _NEED)

    def runner(fast: bool) -> Callable[[dict[str, Value]], Mapping[str, Value]]:
        def run(feeds: dict[str, Value]) -> Mapping[str, Value]:
            with evaluating(torch, module), fast_path(torch, fast), torch.no_grad():
                outputs = call({name: to_torch(array) for name, array in feeds.items()})
                return {name: to_numpy(leaf) for name, leaf in outputs.items()}

        return run

    def gradient(feeds: dict[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        with evaluating(torch, module), fast_path(torch, False), torch.enable_grad():
            outputs = call({name: to_torch(array) for name, array in feeds.items()})
            return _gradients(torch, module, outputs, cotangents)

    ways = {DEFAULT: runner(True)}
    if has_fast_path(torch, module):
        ways[SLOW_PATH] = runner(False)
    return LiveRunner(name or type(module).__name__, signature, ways, gradient)


def to_torch(value: Value) -> Any:
    """A tensor with the same element type, or with the one that carries it in PyTorch.

    It is on memory of its own, so that no in-place operator reaches the feed.
    """
    torch = require("torch", _NEED)
    if not isinstance(value, np.ndarray):
        raise UsageError(f"PyTorch is fed arrays, not {type(value).__name__}")
    name = codec.dtype_name(value.dtype)
    if name in CARRIED_BY_TORCH:
        name = CARRIED_BY_TORCH[name]
        value = value.astype(codec.numpy_dtype(name))
    bits = codec.dtype_bits(name)
    if bits is None:
        return torch.from_numpy(np.array(value, order="C"))
    kind = getattr(torch, codec.numpy_dtype(name).name, None)
    if kind is None:
        raise UsageError(f"PyTorch has no element type {name}")
    return torch.from_numpy(np.array(value.view(bits), order="C")).view(kind)


def to_numpy(leaf: Any) -> Array:
    """A leaf of a model's output (tensor or Python number) as an array of the same element type."""
    torch = require("torch", _NEED)
    if not isinstance(leaf, torch.Tensor):
        return np.asarray(leaf)
    tensor = leaf.detach().cpu().resolve_conj().resolve_neg()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    name = str(tensor.dtype).removeprefix("torch.")
    if codec.dtype_bits(onnx_name := _onnx_name(name)) is None:
        return np.array(tensor.numpy())
    bits = {1: torch.uint8, 2: torch.uint16}[tensor.element_size()]
    return np.array(tensor.contiguous().view(bits).numpy()).view(codec.numpy_dtype(onnx_name))


def as_declared(array: Array, declared: str) -> Array:
    """What PyTorch carries in a wider element type, in the one that was declared.

    Anything else stays as it is, and so do values that the declared type has not.
    """
    if CARRIED_BY_TORCH.get(declared) != codec.dtype_name(array.dtype):
        return array
    narrow = array.astype(codec.numpy_dtype(declared))
    return narrow if np.array_equal(narrow.astype(array.dtype), array) else array


def has_fast_path(torch: Any, module: Any) -> bool:
    """Whether torch may run a part of the module by its fused attention kernel in eager mode."""
    fused = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)
    return isinstance(module, torch.nn.Module) and any(isinstance(part, fused) for part in module.modules())


@contextmanager
def fast_path(torch: Any, enabled: bool) -> Iterator[None]:
    """Torch's attention fast path, set for a while."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def evaluating(torch: Any, module: Any) -> Iterator[None]:
    """Eval mode for a while; every part's own training flag comes back. Traced graphs have one mode only."""
    flags = [(part, part.training) for part in module.modules()]
    if not isinstance(module, torch.fx.GraphModule):
        module.eval()
    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag


class _Program:
    """A module or a TorchScript function, called by the names of its parameters."""

    def __init__(
        self,
        torch: Any,
        module: Any,
        signature: Signature | None,
        in_spec: str | None,
        stored: Mapping[str, StoredWeight] = MappingProxyType({}),
    ) -> None:
        self._torch = torch
        self._stored = stored
        self._module = module
        self._pytree = torch.utils._pytree
        self._in_spec = self._pytree.treespec_loads(in_spec) if in_spec else None
        self._parameters = _parameters(torch, module)
        self._signature = signature or Signature(tuple(TensorSpec(name, "", None) for name in self._parameters), ())
        self._named = signature is not None
        self.variants = (DEFAULT, SLOW_PATH) if has_fast_path(torch, module) else (DEFAULT,)

    @property
    def signature(self) -> Signature:
        return self._signature

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        with self._torch.no_grad(), fast_path(self._torch, variant != SLOW_PATH):
            return outputs_of(self._called(feeds), self._signature)

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        with self._torch.enable_grad(), fast_path(self._torch, False):
            return _gradients(self._torch, self._module, self._called(feeds), cotangents, self._stored)

    def _called(self, feeds: Mapping[str, Value]) -> dict[str, Any]:
        leaves = {spec.name: to_torch(feeds[spec.name]) for spec in self._signature.inputs}
        args, kwargs = self._arguments(leaves)
        return named_leaves(self._torch, self._module(*args, **kwargs), self._signature if self._named else None)

    def _arguments(self, leaves: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        if self._in_spec is not None:
            args, kwargs = self._pytree.tree_unflatten(list(leaves.values()), self._in_spec)
            return args, kwargs
        if not isinstance(self._module, self._torch.jit.ScriptModule) and set(leaves) <= set(self._parameters):
            return (), leaves
        return tuple(leaves.values()), {}


class _Exported:
    """An exported program, whose own pytrees say how its inputs nest."""

    variants = (DEFAULT,)

    def __init__(
        self, torch: Any, exported: Any, signature: Signature | None, stored: Mapping[str, StoredWeight]
    ) -> None:
        self._torch = torch
        self._module = exported.module()
        self._stored = stored
        self._pytree = torch.utils._pytree
        self._in_spec = exported.call_spec.in_spec
        inputs = torch.export.graph_signature
        specs = [s for s in exported.graph_signature.input_specs if s.kind == inputs.InputKind.USER_INPUT]
        self._constants = [(s.arg.value,) if isinstance(s.arg, inputs.ConstantArgument) else None for s in specs]
        free = [s.arg.name for s, constant in zip(specs, self._constants, strict=True) if constant is None]
        self._named = signature is not None
        self.signature = signature or Signature(tuple(_placeholder(exported, name) for name in free), ())
        if len(self.signature.inputs) != len(free):
            raise UsageError(
                f"the program takes {len(free)} tensors ({', '.join(free)}) and the signature names "
                f"{len(self.signature.inputs)}"
            )

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        with self._torch.no_grad():
            return outputs_of(self._called(feeds), self.signature)

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        with self._torch.enable_grad():
            return _gradients(self._torch, self._module, self._called(feeds), cotangents, self._stored)

    def _called(self, feeds: Mapping[str, Value]) -> dict[str, Any]:
        given = iter([to_torch(feeds[spec.name]) for spec in self.signature.inputs])
        leaves = [constant[0] if constant else next(given) for constant in self._constants]
        args, kwargs = self._pytree.tree_unflatten(leaves, self._in_spec)
        try:
            made = self._module(*args, **kwargs)
        except AssertionError as error:
            if not str(error).startswith(_GUARD):
                raise
            raise SizesRefused(str(error)) from error
        return named_leaves(self._torch, made, self.signature if self._named else None)


def _gradients(
    torch: Any,
    module: Any,
    outputs: Mapping[str, Any],
    cotangents: Mapping[str, Array],
    stored: Mapping[str, StoredWeight] = MappingProxyType({}),
) -> Gradients:
    """The gradients of the sum of ``outputs`` times ``cotangents`` by ``module``'s parameters that require them."""
    weights = {name: to_torch(array) for name, array in cotangents.items()}
    return gradients.of_torch(torch, module, outputs, weights, to_numpy, stored)


def outputs_of(leaves: Mapping[str, Any], signature: Signature) -> dict[str, Value]:
    """Named leaves of an output as arrays, in the element types that a signature declares."""
    declared = {spec.name: spec.dtype for spec in signature.outputs}
    return {name: as_declared(to_numpy(leaf), declared.get(name, "")) for name, leaf in leaves.items()}


def named_leaves(torch: Any, output: Any, signature: Signature | None) -> dict[str, Any]:
    """The tensors of a nested output in pytree order, by a signature's names or, without, by their path.

    A lone tensor without a name is called ``output``.
    """
    names = None if signature is None else [spec.name for spec in signature.outputs]
    paths, _ = torch.utils._pytree.tree_flatten_with_path(output)
    leaves = [(path, leaf) for path, leaf in paths if isinstance(leaf, torch.Tensor | int | float)]
    if names is None:
        names = [_path_name(path) or "output" for path, _ in leaves]
    if len(names) != len(leaves):
        raise UsageError(f"the model gives {len(leaves)} tensors where {len(names)} outputs are named")
    return {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}


def _path_name(path: Sequence[Any]) -> str:
    keys = (getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))) for key in path)
    return ".".join(str(key) for key in keys)


def _placeholder(exported: Any, name: str) -> TensorSpec:
    node = next(node for node in exported.graph.nodes if node.op == "placeholder" and node.name == name)
    value = node.meta["val"]
    dims = tuple(d if isinstance(d, int) else str(d) for d in value.shape)
    return TensorSpec(name, _onnx_name(str(value.dtype).removeprefix("torch.")), dims)


def _onnx_name(torch_name: str) -> str:
    """``float8_e4m3fn`` → ``float8e4m3fn``, ``float8_e8m0fnu`` → ``float8e8m0``; the others are spelled alike."""
    if torch_name == "float8_e8m0fnu":
        return "float8e8m0"
    return torch_name.replace("float8_", "float8") if torch_name.startswith("float8") else torch_name


def _parameters(torch: Any, module: Any) -> tuple[str, ...]:
    if isinstance(module, torch.jit.ScriptModule):
        return tuple(argument.name for argument in module.forward.schema.arguments[1:])
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    forward = inspect.signature(module.forward)
    return tuple(p.name for p in forward.parameters.values() if p.kind in kinds and p.default is p.empty)
