"""Results for a person: the answer first, then the numbers that carry it, then what to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import singledispatch
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from isthmus.doctor import Finding, Health
from isthmus.types import (
    Blocker,
    Comparison,
    Divergence,
    Grade,
    Note,
    Report,
    Sample,
    Signature,
    Summary,
    Support,
    Verdict,
)

_COLOURS: Mapping[Grade, str] = {"exact": "green", "noise": "green", "drift": "yellow", "wrong": "red"}
_FEW_OPS = 12
_NUMBERS = frozenset(
    (
        "type",
        "grade",
        "max abs",
        "max rel",
        "mean abs",
        "cosine",
        "atol",
        "rtol",
        "flips",
        "inf/nan",
        "version",
        "seconds",
    )
)


def render(result: Any, *, verbose: bool = False, quiet: bool = False) -> RenderableType:
    """``result`` as something rich can print. ``quiet`` leaves its first line, ``verbose`` adds the long tables.

    Every name that comes from a model stands in a ``Text``, never in markup: it may hold brackets.
    """
    lines = _lines(result, verbose)
    return lines[0] if quiet else Group(*lines)


@singledispatch
def _lines(result: Any, verbose: bool) -> list[RenderableType]:
    raise TypeError(f"a {type(result).__name__} cannot be shown")


@_lines.register
def _verdict(verdict: Verdict, verbose: bool) -> list[RenderableType]:
    agrees = bool(verdict)
    counted = (("output", verdict.comparisons), ("gradient", verdict.gradients))
    bad = (_share(name, found) for name, found in counted if any(not c.agrees for c in found))
    share = "" if agrees else f" ({', '.join(bad)})" if verdict.comparisons else ""
    head = Text.assemble(
        _mark(agrees, "agrees", f"disagrees{share}"), f"  {verdict.reference} → {verdict.candidate}", overflow="fold"
    )
    return [
        head,
        _indented(_comparison_table(verdict.comparisons, verbose)),
        *(_indented(Text(f"{c.output}: {c.detail}", style="yellow")) for c in verdict.comparisons if c.detail),
        *(_gradients(verdict.gradients, verbose) if verdict.gradients else ()),
        _indented(Text(_samples_text(verdict.samples))),
        *_notes(verdict.notes),
    ]


def _share(name: str, found: Sequence[Comparison]) -> str:
    return f"{sum(not c.agrees for c in found)} of {len(found)} {name}s"


def _gradients(gradients: Sequence[Comparison], verbose: bool) -> list[RenderableType]:
    """One line for all parameters, and the table of those that disagree, or of all."""
    bad = [gradient for gradient in gradients if not gradient.agrees]
    worst = max(gradients, key=lambda g: (not g.agrees, g.max_rel))
    text = f"gradients of {len(gradients)} parameters: "
    text += f"{len(bad)} disagree" if bad else f"all agree, largest max rel {worst.max_rel:.3g} in {worst.output}"
    shown = gradients if verbose else bad
    return [
        _indented(Text(text, style="red" if bad else "")),
        *([_indented(_comparison_table(shown, verbose, title="parameter"))] if shown else []),
        *(_indented(Text(f"{g.output}: {g.detail}", style="yellow")) for g in bad if g.detail),
    ]


@_lines.register
def _report(report: Report, verbose: bool) -> list[RenderableType]:
    where = report.target or "memory"
    head = Text.assemble(("converted", "bold"), f"  {report.source} → {where} ({report.kind})", overflow="fold")
    if report.verdict is None:
        head.append("  not judged", style="yellow")
    lines: list[RenderableType] = [head, _indented(_signature_table(report.signature))]
    if report.road:
        lines.append(_indented(Text(f"read by {report.road}")))
    if verbose:
        lines.append(_indented(_ledger_table(report)))
    lines += _notes(report.notes)
    if report.verdict is not None:
        judged = _verdict(report.verdict, verbose)
        head.append_text(Text("  ")).append_text(
            _mark(bool(report.verdict), "agrees", "disagrees: kept as .unverified")
        )
        lines += judged[1:]
    return lines


@_lines.register
def _summary(summary: Summary, verbose: bool) -> list[RenderableType]:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in summary.opset.items())
    facts = [
        f"{summary.parameters:,} parameters, {_size(summary.bytes)}" + _in_brackets(_counts(summary.dtypes)),
        f"opset {opsets}" if opsets else "",
        f"made by {summary.producer}" if summary.producer else "",
        f"signatures: {', '.join(summary.signatures)}" if len(summary.signatures) > 1 else "",
    ]
    total = sum(summary.ops.values())
    return [
        Text.assemble((summary.source, "bold"), f"  {summary.format}", overflow="fold"),
        *(_indented(Text(fact)) for fact in facts if fact),
        _indented(_signature_table(summary.signature)),
        _indented(Text(f"{total} operators, {len(summary.ops)} different: {_ops(summary.ops, verbose)}")),
    ]


@_lines.register
def _support(support: Support, verbose: bool) -> list[RenderableType]:
    count = sum(blocker.count for blocker in support.blockers)
    refusal = f"cannot be carried to {support.to}: {count} node{'s' * (count != 1)} stand in the way"
    total = f"  {sum(support.ops.values())} operators, {len(support.ops)} different" if support.ops else ""
    head = Text.assemble(_mark(bool(support), f"can be carried to {support.to}", refusal), total)
    lines: list[RenderableType] = [head, *(line for blocker in support.blockers for line in _blocker(blocker))]
    if verbose:
        lines.append(_indented(Text(_ops(support.ops, verbose))))
    return lines


@_lines.register
def _divergence(divergence: Divergence, verbose: bool) -> list[RenderableType]:
    return [
        Text.assemble(("diverges first at ", "bold"), (divergence.value, "bold red"), f"  {divergence.where}"),
        _indented(_comparison_table([divergence.comparison], verbose)),
        *([_indented(Text(f"repro: {divergence.repro}"))] if divergence.repro else []),
    ]


@_lines.register
def _health(health: Health, verbose: bool) -> list[RenderableType]:
    table = _table("package", "version", "enables", "")
    for finding in health.findings:
        table.add_row(finding.package, _version(finding), finding.enables, _problem(finding))
    head = _mark(bool(health), "healthy", "something does not go together")
    return [Text.assemble(head, f"  Python {health.python}, {health.platform}"), _indented(table)]


def _comparison_table(comparisons: Sequence[Comparison], verbose: bool, title: str = "output") -> Table:
    """One row an output; what is nought everywhere has no column, so that the rest fits a narrow terminal."""
    doubted = verbose or not all(c.agrees for c in comparisons)
    columns: list[tuple[str, Callable[[Comparison], str | Text], bool]] = [
        (title, lambda c: Text(c.output), True),
        ("type", lambda c: c.dtype, verbose),
        ("grade", lambda c: Text(c.grade, style=_COLOURS[c.grade]), True),
        ("max abs", lambda c: f"{c.max_abs:.3g}", True),
        ("max rel", lambda c: f"{c.max_rel:.3g}", True),
        ("cosine", lambda c: f"{c.cosine:.6f}", True),
        ("atol", lambda c: f"{c.atol:.0e}" if c.atol else "0", doubted),
        ("rtol", lambda c: f"{c.rtol:.0e}" if c.rtol else "0", doubted),
        ("flips", lambda c: str(c.argmax_flips), any(c.argmax_flips for c in comparisons)),
        ("inf/nan", lambda c: str(c.nonfinite), any(c.nonfinite for c in comparisons)),
    ]
    shown = [(name, cell) for name, cell, wanted in columns if wanted]
    table = _table(*(name for name, _ in shown))
    for comparison in comparisons:
        table.add_row(*(cell(comparison) for _, cell in shown))
    return table


def _signature_table(signature: Signature) -> Table:
    table = _table("", "name", "type", "shape")
    for way, specs in (("in", signature.inputs), ("out", signature.outputs)):
        for spec in specs:
            dims = "…" if spec.shape is None else ", ".join("?" if d is None else str(d) for d in spec.shape)
            kind = spec.dtype if spec.kind == "tensor" else f"{spec.kind} of {spec.dtype}"
            table.add_row(way, Text(spec.name), kind, Text(f"[{dims}]"))
    return table


def _ledger_table(report: Report) -> Table:
    table = _table("pass", "operators", "seconds")
    for change in report.ledger:
        before, after = sum(change.before.values()), sum(change.after.values())
        table.add_row(change.name, str(after) if before == after else f"{before} → {after}", f"{change.seconds:.2f}")
    return table


def _samples_text(samples: Sequence[Sample]) -> str:
    shown = (" ".join(f"{dim}={size}" for dim, size in sample.sizes.items()) for sample in samples)
    origins = dict.fromkeys(sample.origin for sample in samples)
    count = f"{len(samples)} {' and '.join(origins)} sample{'s' * (len(samples) != 1)}"
    sizes = " · ".join(dict.fromkeys(text for text in shown if text))
    return f"{count}: {sizes}" if sizes else f"{count}, no free dimension"


def _notes(notes: Iterable[Note]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for note in notes:
        lines.append(_indented(Text.assemble(("note: ", "cyan"), note.text)))
        if note.hint:
            lines.append(_indented(Text.assemble(("hint: ", "dim"), note.hint)))
    return lines


def _blocker(blocker: Blocker) -> list[RenderableType]:
    lines: list[RenderableType] = [_indented(Text.assemble(("✗ ", "red"), str(blocker)))]
    if blocker.hint:
        lines.append(Padding(Text.assemble(("hint: ", "dim"), blocker.hint), (0, 0, 0, 4)))
    return lines


def _mark(good: bool, yes: str, no: str) -> Text:
    return Text(f"✓ {yes}", style="bold green") if good else Text(f"✗ {no}", style="bold red")


def _version(finding: Finding) -> Text:
    return Text(finding.version) if finding.version else Text("absent", style="dim")


def _problem(finding: Finding) -> Text:
    if finding.problem:
        return Text(f"✗ {finding.problem}" + _in_brackets(finding.hint), style="red")
    return Text(finding.hint, style="dim")


def _table(*columns: str) -> Table:
    """A bare table. Words may fold where the screen is narrow, numbers never."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _NUMBERS, min_width=min(len(column), 8))
    return table


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def _ops(ops: Mapping[str, int], everything: bool) -> str:
    ordered = sorted(ops.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered if everything else ordered[:_FEW_OPS]
    rest = f" and {len(ordered) - len(shown)} more" if len(shown) < len(ordered) else ""
    return _counts(dict(shown)) + rest


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
