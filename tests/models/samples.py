"""Seeded inputs of the corpus: pictures, tones, digits, token ids. Deterministic: numpy's PCG64."""

from __future__ import annotations

import numpy as np


def _image(rng, shape, lo, hi, layout):
    """A smooth random picture with a little noise, scaled to lo..hi."""
    nhwc = shape if layout == "NHWC" else [shape[0], shape[2], shape[3], shape[1]]
    n, h, w, c = nhwc
    coarse = rng.random((n, 6, 6, c))
    ys, xs = np.linspace(0, 5, h), np.linspace(0, 5, w)
    y0, x0 = np.minimum(ys.astype(int), 4), np.minimum(xs.astype(int), 4)
    fy, fx = (ys - y0)[None, :, None, None], (xs - x0)[None, None, :, None]
    top = coarse[:, y0][:, :, x0] * (1 - fx) + coarse[:, y0][:, :, x0 + 1] * fx
    bot = coarse[:, y0 + 1][:, :, x0] * (1 - fx) + coarse[:, y0 + 1][:, :, x0 + 1] * fx
    img = np.clip(top * (1 - fy) + bot * fy + 0.05 * rng.standard_normal((n, h, w, c)), 0, 1)
    img = lo + (hi - lo) * img
    return img if layout == "NHWC" else img.transpose(0, 3, 1, 2)


_SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgcde", "abc", "abcdefg", "abcdfg")


def _digits(rng, shape, lo, hi, glyph):
    """NCHW pictures of seven-segment digits, dark (lo) on bright (hi): OCR food."""
    n, c, h, w = shape
    img = np.full((n, h, w), float(hi))
    gh, gw, t = glyph, glyph * 5 // 9, max(2, glyph // 8)
    seg = {
        "a": (0, t, 0, gw),
        "d": (gh - t, gh, 0, gw),
        "g": (gh // 2 - t // 2, gh // 2 - t // 2 + t, 0, gw),
        "f": (0, gh // 2, 0, t),
        "b": (0, gh // 2, gw - t, gw),
        "e": (gh // 2, gh, 0, t),
        "c": (gh // 2, gh, gw - t, gw),
    }
    for k in range(n):
        for y in range(max(2, (h - gh) // 2 % (2 * gh)), h - gh - 1, 2 * gh):
            for x in range(gw, w - 2 * gw, gw + 3 * t):
                if rng.random() < 0.12:
                    continue
                for q in _SEGMENTS[rng.integers(10)]:
                    y0, y1, x0, x1 = seg[q]
                    img[k, y + y0 : y + y1, x + x0 : x + x1] = lo
    return np.repeat(img[:, None], c, axis=1)


def _grid_step(grid, steps, step, shape):
    """Frames `step` of a coarse time x channel grid, interpolated over all the steps."""
    g = np.array(grid, dtype=float)
    per, bands = shape[-2], shape[-1]
    t = np.linspace(0, g.shape[0] - 1, steps * per)[step * per : (step + 1) * per]
    t0 = np.minimum(t.astype(int), g.shape[0] - 2)
    a = (t - t0)[:, None]
    rows = g[t0] * (1 - a) + g[t0 + 1] * a
    f = np.linspace(0, g.shape[1] - 1, bands)
    f0 = np.minimum(f.astype(int), g.shape[1] - 2)
    b = (f - f0)[None]
    return (rows[:, f0] * (1 - b) + rows[:, f0 + 1] * b).reshape(shape)


def make_input(spec, step=0):
    """One numpy array from one input recipe (deterministic: numpy PCG64, seeded)."""
    rng = np.random.default_rng(spec["seed"] + step)
    shape, gen = spec["shape"], spec["gen"]
    if gen == "strings":
        return np.array(spec["values"], dtype=object).reshape(shape)
    if gen == "values":
        a = np.array(spec["values"]).reshape(shape)
    elif gen == "const":
        a = np.full(shape, spec["value"])
    elif gen == "normal":
        a = spec["mean"] + spec["std"] * rng.standard_normal(shape)
    elif gen == "uniform":
        a = spec["lo"] + (spec["hi"] - spec["lo"]) * rng.random(shape)
    elif gen == "randint":  # hi is exclusive
        a = rng.integers(spec["lo"], spec["hi"], size=shape)
    elif gen == "unit":  # L2-normalised along the last axis
        a = np.abs(rng.standard_normal(shape))
        a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    elif gen == "onehot":  # along the last axis
        a = np.eye(shape[-1])[rng.integers(0, shape[-1], size=shape[:-1])]
    elif gen == "tone":  # speech-like: gliding harmonics + noise
        n = int(np.prod(shape))
        t = np.arange(n) / spec["rate"]
        f = spec["hz"] * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * t))
        ph = 2 * np.pi * np.cumsum(f) / spec["rate"]
        a = sum(np.sin(k * ph) / k for k in range(1, 6)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))
        a = (0.2 * a + 0.01 * rng.standard_normal(n)).reshape(shape)
    elif gen == "digits":
        a = _digits(rng, shape, spec["lo"], spec["hi"], spec["glyph"])
    elif gen == "head":  # a ball with a bright shell: a crude head MRI
        z, y, x = np.meshgrid(*[np.linspace(-1, 1, k) for k in shape[1:4]], indexing="ij")
        r = np.sqrt((z / 0.75) ** 2 + (y / 0.85) ** 2 + (x / 0.7) ** 2)
        a = np.where(
            r < 0.78,
            0.45 + 0.15 * np.sin(9 * z) * np.sin(11 * y) * np.sin(10 * x),
            np.where(r < 0.86, 0.08, np.where(r < 1, 0.8, 0.0)),
        )
        a = np.clip(a + 0.02 * rng.standard_normal(a.shape), 0, 1).reshape(shape)
    elif gen == "grid":  # a sequence over the steps of a stateful model
        a = _grid_step(spec["grid"], spec["steps"], step, shape)
    elif gen == "image":
        a = _image(rng, shape, spec["lo"], spec["hi"], spec["layout"])
    else:
        raise ValueError(f"unknown generator {gen!r}")
    if spec["dtype"] in ("int8", "uint8", "int32", "int64") and a.dtype.kind == "f":
        a = np.rint(a)
    return np.array(a, dtype=spec["dtype"], order="C")  # keeps a scalar 0-d


def make_inputs(model, case=0, step=0):
    """{input name: array} of one sample case of a model of the manifest.

    A case of a stateful model has "steps": feed make_inputs(m, case, 0), then
    (m, case, 1), ... in one session; the reference outputs are the last step's.
    """
    return {s["name"]: make_input(s, step) for s in model["cases"][case]["inputs"]}
