"""What RNN, GRU and LSTM share: directions, lengths, layouts, activations, and the loop over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from isthmus.lower import recurrent
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import FLOATS, HALVES, as_tensor, dims, dtype_of
from isthmus.writers.torch.ops._loops import apart, recorder_of, scanned
from isthmus.writers.torch.ops._windows import steps

State = tuple[Any, ...]
"""The hidden state first; each of shape (batch, hidden)."""
Step = Callable[[Any, State], State]
"""One time step: the projected input (batch, gates·hidden) and the state before, to the state after."""
Activation = Callable[[Any], Any]

UNROLLED = 16
"""A recorded loop of known length is written out up to so many steps."""

_SHAPED: dict[str, Callable[[Any, float, float], Any]] = {
    "affine": lambda x, a, b: a * x + b,
    "relu": lambda x, a, b: F.relu(x),
    "leakyrelu": lambda x, a, b: F.leaky_relu(x, a),
    "thresholdedrelu": lambda x, a, b: torch.where(x >= a, x, torch.zeros_like(x)),
    "tanh": lambda x, a, b: torch.tanh(x),
    "scaledtanh": lambda x, a, b: a * torch.tanh(b * x),
    "sigmoid": lambda x, a, b: torch.sigmoid(x),
    "hardsigmoid": lambda x, a, b: (a * x + b).clamp(0, 1),
    "elu": lambda x, a, b: F.elu(x, a),
    "softsign": lambda x, a, b: F.softsign(x),
    "softplus": lambda x, a, b: F.softplus(x),
}


def activations_of(
    c: Context, names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None
) -> list[Activation]:
    """The activation functions by name, with their parameters."""
    named = recurrent.activations_of(c, names, alphas, betas)
    return [_bound(_SHAPED[one.name], one.alpha, one.beta) for one in named]


def _bound(function: Callable[[Any, float, float], Any], alpha: float, beta: float) -> Activation:
    return lambda x: function(x, alpha, beta)


def clipped(x: Any, clip: float | None) -> Any:
    """The input of an activation, within ±clip where there is a clip."""
    return x.clamp(-clip, clip) if clip else x


def parts(x: Any, count: int, axis: int = 0) -> list[Any]:
    """``x`` in so many equal pieces."""
    pieces = x.chunk(count, axis)
    return [pieces[i] for i in range(count)]


@dataclass(frozen=True)
class Sequences:
    """The input of a recurrent operator, time first, and how its outputs are to be laid out.

    ``lengths``: int64 of shape (batch,), or None where every sequence is as long as the input.
    """

    c: Context
    x: Any
    lengths: Any
    time: Any
    batch: Any
    hidden: Any
    layout: int
    direction: str

    @classmethod
    def of(
        cls, c: Context, x: Any, r: Any, lengths: Any, *, hidden_size: int | None, layout: int, direction: str
    ) -> Sequences:
        sizes = dims(c, x)
        time, batch = (sizes[1], sizes[0]) if layout else (sizes[0], sizes[1])
        if isinstance(lengths, np.ndarray) and isinstance(time, int) and (lengths == time).all():
            lengths = None
        if lengths is not None:
            lengths = as_tensor(c, lengths, 4).long()
        x = _widened(c, x.transpose(0, 1) if layout else x)
        return cls(c, x, lengths, time, batch, hidden_size or dims(c, r, 2)[2], layout, direction)

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def native(self) -> bool:
        """Whether PyTorch's own layers can run them: whole sequences, of known length where it is to be exported."""
        known = isinstance(self.time, int) and self.time > 0
        return self.lengths is None and known and self.c.dtype() in FLOATS | HALVES

    def per_direction(self, operand: Any) -> list[Any]:
        """A parameter of shape (directions, …), one a direction, in the type that is computed in."""
        if operand is None:
            return [None] * self.directions
        operand = _widened(self.c, operand)
        return [operand[i] for i in range(self.directions)]

    def initial(self, state: Any) -> Any:
        """The state that each direction begins with, (directions, batch, hidden): zeros where none is given."""
        if state is None:
            return self.x.new_zeros([self.directions, self.batch, self.hidden])
        state = state.transpose(0, 1) if self.layout else state
        return _widened(self.c, state).expand([self.directions, self.batch, self.hidden])

    def run_native(self, function: Any, states: Any, weights: Sequence[Sequence[Any]]) -> list[Any]:
        """All directions by one of PyTorch's layers; ``weights`` are torch's own, one list a direction."""
        x = self.x.flip(0) if self.direction == "reverse" else self.x
        flat = [weight for one in weights for weight in one if weight is not None]
        made = function(x, states, flat, len(flat) == 4 * self.directions, 1, 0.0, False, self.directions == 2, False)
        y = made[0].flip(0) if self.direction == "reverse" else made[0]
        y = y.reshape([self.time, self.batch, self.directions, self.hidden])
        y = y.transpose(0, 1) if self.layout else y.transpose(1, 2)
        finals = [made[i] for i in range(1, self.c.outputs if isinstance(states, tuple) else 2)]
        return [self._narrowed(t) for t in (y, *((s.transpose(0, 1) if self.layout else s) for s in finals))]

    def run(self, project: Callable[[Any, int], Any], each: Sequence[Step], initial: Sequence[Any]) -> list[Any]:
        """All directions: Y and the final states, laid out and typed as the operator's outputs."""
        ys, finals = [], []
        for i, step in enumerate(each):
            backward = self.direction == "reverse" or i == 1
            x = self._reversed(self.x) if backward else self.x
            y, final = self._over_time(project(x, i), step, tuple(state[i] for state in initial))
            ys.append(self._reversed(y) if backward else y)
            finals.append(final)
        ys = [y.transpose(0, 1) for y in ys] if self.layout else ys
        y = torch.stack(ys, 2 if self.layout else 1)
        states = [torch.stack(ends, 1 if self.layout else 0) for ends in zip(*finals, strict=True)]
        return [self._narrowed(t) for t in (y, *states)]

    def _narrowed(self, y: Any) -> Any:
        return y.to(dtype_of(self.c.dtype())) if self.c.dtype() in HALVES else y

    def _reversed(self, x: Any) -> Any:
        """Time turned round, each sequence within its own length."""
        if self.lengths is None:
            return x.flip(0)
        at = steps(self.time, self.x).unsqueeze(1)
        source = torch.where(at < self.lengths, self.lengths - 1 - at, at)
        return x.gather(0, source.unsqueeze(2).expand_as(x))

    def _over_time(self, projected: Any, step: Step, initial: State) -> tuple[Any, State]:
        """The hidden states of all steps, (time, batch, hidden), and the state after the last."""
        if self.lengths is None:
            ys, final = self._looped([projected], lambda xs, state: (step(xs[0], state),) * 2, initial)
            return ys, final

        def masked(xs: Sequence[Any], state: State) -> tuple[State, State]:
            made, runs = step(xs[0], state), xs[1]
            after = tuple(torch.where(runs, new, old) for new, old in zip(made, state, strict=True))
            return after, (made[0].masked_fill(~runs, 0),)

        runs = (steps(self.time, self.x).unsqueeze(1) < self.lengths).unsqueeze(2)
        ys, final = self._looped([projected, runs], masked, initial)
        # a sequence without steps ends in zeros, as ONNX Runtime has it
        none = (self.lengths == 0).unsqueeze(1)
        return ys, tuple(state.masked_fill(none, 0) for state in final)

    def _looped(
        self, xs: Sequence[Any], body: Callable[[Sequence[Any], State], tuple[State, State]], initial: State
    ) -> tuple[Any, State]:
        """``body`` over time: it gives the state after, and what it makes, of which the first is collected."""
        recorder = recorder_of(self.c)
        if recorder is None or (isinstance(self.time, int) and self.time <= UNROLLED):
            ys, state = [], initial
            for t in range(self.time):
                state, made = body([x[t] for x in xs], state)
                ys.append(made[0])
            return torch.stack(ys) if ys else self.x.new_zeros([0, self.batch, self.hidden]), state

        def one(*operands: Any) -> list[Any]:
            after, made = body(operands[len(initial) :], operands[: len(initial)])
            return apart([*after, made[0]])

        bodies, captured = recorder.bodies([one], len(initial) + len(xs))
        start = [state.contiguous() for state in initial]
        final = scanned(bodies[0], start, list(xs), captured)
        return final[len(initial)], tuple(final[i] for i in range(len(initial)))


def _widened(c: Context, x: Any) -> Any:
    """Halves are computed in float32."""
    return x.float() if c.dtype() in HALVES else x


def projected_by(ws: Sequence[Any], biases: Sequence[Any]) -> Callable[[Any, int], Any]:
    """The input projection of a whole sequence by one matrix product; the bias is added where there is one."""

    def project(x: Any, direction: int) -> Any:
        return F.linear(x, ws[direction], biases[direction])

    return project
