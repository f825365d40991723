"""What is told of text in numbers: counts of n-grams. PyTorch has no strings."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.grams import Grams, vocabulary
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call, dim
from isthmus.writers.torch.ops._lookup import index_of
from isthmus.writers.torch.ops._scores import picked, row_of

table = Lowerings()
lower, alias = table.lower, table.alias


@lower("TfIdfVectorizer")
def tf_idf_vectorizer(
    c,
    x,
    *,
    max_gram_length,
    max_skip_count,
    min_gram_length,
    mode,
    ngram_counts,
    ngram_indexes,
    pool_int64s,
    pool_strings,
    weights,
):
    """Counts of n-grams whose items stand up to ``max_skip_count`` apart; [C] or [N, C] in, the counts' row out."""
    if pool_strings is not None:
        c.refuse("PyTorch has no string tensors, and its n-grams are strings")
    words = vocabulary(pool_int64s, ngram_counts, ngram_indexes, weights, (min_gram_length, max_gram_length))
    single = c.rank() == 1
    items = index_of(c, x.unsqueeze(0) if single else x, words.alphabet, c.dtype())
    counts = call(c, torch.zeros, 1 if single else dim(c, x, 0), words.width + 1)
    for grams in words.grams:
        for stride in grams.strides(max_skip_count):
            found = _columns(c, items, grams, len(words.alphabet), stride, words.width)
            counts = counts.scatter_add(1, found, torch.ones_like(found, dtype=torch.float32))
    counts = counts[:, :-1]
    if mode == "IDF":
        counts = torch.where(counts > 0, row_of(words.weights), 0.0)
    elif mode == "TFIDF":
        counts = counts * row_of(words.weights)
    return counts[0] if single else counts


def _columns(c: Context, items: Any, grams: Grams, letters: int, stride: int, nowhere: int) -> Any:
    """The column of the gram that begins at each item, its items ``stride`` apart, or ``nowhere``; int64."""
    keys, columns = grams.prefixes(letters)
    reach = (grams.length - 1) * stride
    padded = F.pad(items, (0, reach), value=-1) if reach else items
    state: Any = None
    for place, known in enumerate(keys):
        letter = padded[:, place * stride : (place * stride - reach) or None]
        key = letter if state is None else torch.where((state < 0) | (letter < 0), -1, state * letters + letter)
        state = index_of(c, key, known, ir.DataType.INT64)
    return torch.where(state < 0, nowhere, picked(c, columns, state))
