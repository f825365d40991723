"""Sequences that are decoded, and cells over time in one operator."""

from __future__ import annotations

import numpy as np

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._sizes import INT64, counted, int64, size

table = Reads()
read = table.read


@read("CTCGreedyDecoder")
def ctc_greedy(op, c, inputs, lengths, *, merge_repeated, blank_index):
    """The best class of each step, without blanks and repetitions; as a sparse tensor of (sequence, place)."""
    best = op.ArgMax(inputs, axis=2, keepdims=0)
    steps = counted(op, size(op, inputs, 0))
    there = op.Less(op.Unsqueeze(steps, [1]), op.Unsqueeze(int64(op, lengths), [0]))
    blank = op.constant([blank_index])
    blank = op.Add(size(op, inputs, 2), blank) if blank_index < 0 else blank
    kept = op.And(there, op.Not(op.Equal(best, blank)))
    if merge_repeated:
        last = op.Slice(op.Pad(best, np.asarray([1, 0, 0, 0]), np.int64(-1)), [0], [-1], [0])
        kept = op.And(kept, op.Not(op.Equal(best, last)))
    kept, best = op.Transpose(kept, perm=[1, 0]), op.Transpose(best, perm=[1, 0])
    places = op.Transpose(op.NonZero(kept), perm=[1, 0])
    column = op.GatherND(op.Sub(op.CumSum(op.Cast(kept, to=INT64), np.int64(1)), 1), places)
    indices = op.Concat(op.Gather(places, np.asarray([0]), axis=1), op.Unsqueeze(column, [1]), axis=1)
    longest = op.Add(op.ReduceMax(op.Concat([-1], column, axis=0), [0], keepdims=1), 1)
    highest = op.ReduceMax(inputs, [2], keepdims=0)
    sums = op.ReduceSum(op.Where(there, highest, op.constant(0, inputs.dtype)), [0], keepdims=0)
    return (
        indices,
        op.GatherND(best, places),
        op.Concat(size(op, inputs, 1), longest, axis=0),
        op.Unsqueeze(op.Neg(sums), [1]),
    )


@read("LSTMBlockCell")
def lstm_cell(op, x, cs_prev, h_prev, w, wci, wcf, wco, b, *, forget_bias, cell_clip, use_peephole):
    """One step: all gates, the state before and after its activation, and the output."""
    gates = op.Add(op.MatMul(op.Concat(x, h_prev, axis=1), w), b)
    i, ci, f, o = op.Split(gates, axis=1, num_outputs=4, outputs=4)
    f = op.Add(f, forget_bias)
    if use_peephole:
        i, f = op.Add(i, op.Mul(cs_prev, wci)), op.Add(f, op.Mul(cs_prev, wcf))
    i, f, ci = op.Sigmoid(i), op.Sigmoid(f), op.Tanh(ci)
    cs = op.Add(op.Mul(ci, i), op.Mul(cs_prev, f))
    cs = op.Clip(cs, -cell_clip, cell_clip) if cell_clip > 0 else cs
    o = op.Sigmoid(op.Add(o, op.Mul(cs, wco)) if use_peephole else o)
    co = op.Tanh(cs)
    return i, cs, f, o, ci, co, op.Mul(co, o)


@read("GRUBlockCell")
def gru_cell(op, x, h_prev, w_ru, w_c, b_ru, b_c):
    """One step: the reset, the update, the candidate, and the output."""
    gates = op.Sigmoid(op.Add(op.MatMul(op.Concat(x, h_prev, axis=1), w_ru), b_ru))
    r, u = op.Split(gates, axis=1, num_outputs=2, outputs=2)
    c = op.Tanh(op.Add(op.MatMul(op.Concat(x, op.Mul(h_prev, r), axis=1), w_c), b_c))
    return r, u, c, op.Add(op.Mul(u, h_prev), op.Mul(op.Sub(op.constant(1, x.dtype), u), c))
