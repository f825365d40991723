"""What RNN, GRU and LSTM share: directions, lengths, layouts, activations, and the loop over time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from isthmus.lower import recurrent
from isthmus.lower.walk import Context
from isthmus.writers.tensorflow.ops._common import HALVES, dim

State = tuple[tf.Tensor, ...]
"""The hidden state first; each of shape (batch, hidden)."""
Step = Callable[[tf.Tensor, State], State]
"""One time step: the projected input (batch, gates·hidden) and the state before, to the state after."""
Activation = Callable[[tf.Tensor], tf.Tensor]

_SHAPED = {
    "affine": lambda x, a, b: a * x + b,
    "relu": lambda x, a, b: tf.nn.relu(x),
    "leakyrelu": lambda x, a, b: tf.where(x >= 0, x, a * x),
    "thresholdedrelu": lambda x, a, b: tf.where(x >= a, x, tf.zeros_like(x)),
    "tanh": lambda x, a, b: tf.tanh(x),
    "scaledtanh": lambda x, a, b: a * tf.tanh(b * x),
    "sigmoid": lambda x, a, b: tf.sigmoid(x),
    "hardsigmoid": lambda x, a, b: tf.clip_by_value(a * x + b, 0.0, 1.0),
    "elu": lambda x, a, b: tf.where(x >= 0, x, a * tf.math.expm1(tf.minimum(x, 0))),
    "softsign": lambda x, a, b: tf.nn.softsign(x),
    "softplus": lambda x, a, b: tf.nn.softplus(x),
}


def activations_of(
    c: Context, names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None
) -> list[Activation]:
    """The activation functions by name, with their parameters."""
    return [
        functools.partial(_SHAPED[one.name], a=one.alpha, b=one.beta)
        for one in recurrent.activations_of(c, names, alphas, betas)
    ]


def clipped(x: tf.Tensor, clip: float | None) -> tf.Tensor:
    """The input of an activation, within ±clip where there is a clip."""
    return x if not clip else tf.clip_by_value(x, -clip, clip)


@dataclass(frozen=True)
class Sequences:
    """The input of a recurrent operator, time first, and how its outputs are to be laid out."""

    x: tf.Tensor
    lengths: tf.Tensor | None
    hidden: int
    layout: int
    direction: str
    dtype: tf.DType

    @classmethod
    def of(
        cls, x: tf.Tensor, r: tf.Tensor, lengths: Any, *, hidden_size: int | None, layout: int, direction: str
    ) -> Sequences:
        wide = tf.float32 if x.dtype in HALVES else x.dtype
        time_first = tf.transpose(x, [1, 0, 2]) if layout else x
        return cls(tf.cast(time_first, wide), lengths, hidden_size or r.shape[-1], layout, direction, x.dtype)

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    def per_direction(self, operand: tf.Tensor | None) -> list[tf.Tensor | None]:
        """A parameter of shape (directions, …), one a direction, in the type that is computed in."""
        if operand is None:
            return [None] * self.directions
        operand = tf.cast(operand, self.x.dtype)
        return [operand[i] for i in range(self.directions)]

    def initial(self, state: tf.Tensor | None) -> list[tf.Tensor]:
        """The state (batch, hidden) that each direction begins with: zeros where none is given."""
        if state is None:
            zeros = tf.zeros(tf.stack([dim(self.x, 1), self.hidden]), self.x.dtype)
            return [zeros] * self.directions
        return [
            t for t in self.per_direction(tf.transpose(state, [1, 0, 2]) if self.layout else state) if t is not None
        ]

    def run(self, project: Callable[[tf.Tensor, int], tf.Tensor], steps: Sequence[Step], initial: Sequence[State]):
        """All directions: Y and the final states, laid out and typed as the operator's outputs."""
        ys, finals = [], []
        for i, (step, state) in enumerate(zip(steps, initial, strict=True)):
            backward = self.direction == "reverse" or i == 1
            x = self._reversed(self.x) if backward else self.x
            y, final = self._over_time(project(x, i), step, state)
            ys.append(self._reversed(y) if backward else y)
            finals.append(final)
        ys = [tf.transpose(y, [1, 0, 2]) for y in ys] if self.layout else ys
        y = tf.stack(ys, axis=2 if self.layout else 1)
        states = [tf.stack(parts, axis=1 if self.layout else 0) for parts in zip(*finals, strict=True)]
        return [tf.cast(t, self.dtype) for t in (y, *states)]

    def _reversed(self, x: tf.Tensor) -> tf.Tensor:
        """Time turned round, each sequence within its own length."""
        if self.lengths is None:
            return tf.reverse(x, [0])
        return tf.reverse_sequence(x, self.lengths, seq_axis=0, batch_axis=1)

    def _over_time(self, projected: tf.Tensor, step: Step, initial: State) -> tuple[tf.Tensor, State]:
        # A state of known batch makes a free batch known: a loop carries one shape.
        batches = (projected.shape[1], *(state.shape[0] for state in initial))
        steps, batch = dim(projected, 0), next((known for known in batches if known is not None), None)
        shape = tf.TensorShape([batch, self.hidden])
        inputs = tf.TensorArray(projected.dtype, steps, element_shape=projected.shape[1:]).unstack(projected)
        outputs = tf.TensorArray(projected.dtype, steps, element_shape=shape)

        def body(t: tf.Tensor, outputs: tf.TensorArray, *state: tf.Tensor):
            after = tuple(tf.ensure_shape(s, shape) for s in step(inputs.read(t), state))
            made = after[0]
            if self.lengths is not None:
                runs = (t < self.lengths)[:, None]
                made = tf.where(runs, made, tf.zeros_like(made))
                after = tuple(tf.where(runs, new, old) for new, old in zip(after, state, strict=True))
            return (t + 1, outputs.write(t, made), *after)

        state = tuple(tf.ensure_shape(s, shape) for s in initial)
        _, outputs, *final = tf.while_loop(
            lambda t, *_: t < steps, body, (tf.constant(0), outputs, *state), maximum_iterations=steps
        )
        if self.lengths is not None:  # a sequence without steps ends in zeros, as ONNX Runtime has it
            final = [tf.where((self.lengths > 0)[:, None], state, tf.zeros_like(state)) for state in final]
        return tf.ensure_shape(self._stacked(outputs, projected), [projected.shape[0], *shape]), tuple(final)

    def _stacked(self, outputs: tf.TensorArray, projected: tf.Tensor) -> tf.Tensor:
        """The outputs of all steps; without any, TensorFlow must be told the size of the batch."""
        if tf.executing_eagerly():
            return outputs.stack()
        element = tf.stack([dim(projected, 1), self.hidden])
        return tf.raw_ops.TensorListStack(
            input_handle=outputs.flow, element_shape=element, element_dtype=projected.dtype
        )


def projected_by(
    ws: Sequence[tf.Tensor], biases: Sequence[tf.Tensor | None]
) -> Callable[[tf.Tensor, int], tf.Tensor]:
    """The input projection of a whole sequence by one matrix product; the bias is added where there is one."""

    def project(x: tf.Tensor, direction: int) -> tf.Tensor:
        y = tf.einsum("tbi,gi->tbg", x, ws[direction])
        bias = biases[direction]
        return y if bias is None else y + bias

    return project
