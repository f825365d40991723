"""What a writer asks for: plain lists of passes, by target."""

from __future__ import annotations

from isthmus.hub.model import HUB_OPSET, Hub
from isthmus.lower.contract import LoweringTable
from isthmus.passes.base import HubPass, Repeat, run
from isthmus.passes.batchnorm import FoldBatchNorm
from isthmus.passes.branches import DecideBranches
from isthmus.passes.cleanup import RemoveDead, RemoveNoOps, ShareEqual
from isthmus.passes.contrib.decompose import DecomposeContrib
from isthmus.passes.dims import SimplifyShapes
from isthmus.passes.filled import FillWeights
from isthmus.passes.fold import FoldConstants
from isthmus.passes.functions import ExpandFunctions
from isthmus.passes.groupnorm import FuseGroupNorm
from isthmus.passes.heads import FuseHeads
from isthmus.passes.layout.asked import AskLayouts
from isthmus.passes.layout.first import ChannelsFirst
from isthmus.passes.layout.layout import AssignLayout
from isthmus.passes.linear import FuseLinear
from isthmus.passes.moves import SimplifyMoves
from isthmus.passes.pads import ListAllPads
from isthmus.passes.places import PlaceWeights
from isthmus.passes.prelu import FusePRelu
from isthmus.passes.recover.activations import RecoverSwish
from isthmus.passes.recover.attention import RecoverAttention
from isthmus.passes.recover.directions import JoinDirections
from isthmus.passes.recover.recurrent import RecoverRecurrent
from isthmus.passes.recurrent import FuseRecurrent
from isthmus.passes.texts import GatherTextByRow
from isthmus.passes.widen import WidenTypes
from isthmus.passes.zeros import KeepZeros
from isthmus.types import Options


def for_tensorflow(hub: Hub, table: LoweringTable, *, trainable: bool = False, options: Options | None = None) -> Hub:
    """The hub as TensorFlow wants it: channels last, and only operators of ``table`` where that can be had.

    Works in place on ``hub.model``, which is the reader's copy and never the user's.
    """
    return run(hub, tensorflow_passes(table, trainable=trainable, options=options or Options()))


def tensorflow_passes(table: LoweringTable, *, trainable: bool, options: Options) -> tuple[HubPass, ...]:
    """In order. What AssignLayout is given must be final, for it reads shapes; after it only leftovers are swept."""
    return (
        AskLayouts(options.input_layouts, options.output_layouts),
        DecomposeContrib(table),
        simplify(trainable=trainable),
        ExpandFunctions(table),
        simplify(trainable=trainable),
        FuseGroupNorm(),
        *(() if trainable else (FoldBatchNorm(),)),
        AssignLayout(trainable=trainable),
        FoldConstants(trainable=trainable),
        SimplifyMoves(),
        RemoveNoOps(trainable=trainable),
        RemoveDead(),
    )


def for_torch(hub: Hub, table: LoweringTable, *, trainable: bool = False, options: Options | None = None) -> Hub:
    """The hub as PyTorch wants it: only operators of ``table`` where that can be had, images as they are.

    What may be a parameter stays one under its name, in both builds: a module is there to be trained.
    """
    return run(hub, torch_passes(table, trainable=trainable, options=options or Options()))


def torch_passes(table: LoweringTable, *, trainable: bool, options: Options) -> tuple[HubPass, ...]:
    """In order."""
    return (
        AskLayouts(options.input_layouts, options.output_layouts),
        DecomposeContrib(table),
        FillWeights(),
        simplify(trainable=True),
        ExpandFunctions(table),
        simplify(trainable=True),
        RecoverRecurrent(doubles=True),
        JoinDirections(),
        FuseGroupNorm(),
        ChannelsFirst(trainable=True),
        FuseLinear(),
        PlaceWeights(),
        FuseHeads(),
        FusePRelu(),
        FuseRecurrent(),
        RecoverSwish(),
        RecoverAttention(),
        RemoveDead(),
    )


def simplify(*, trainable: bool) -> HubPass:
    """Fold and sweep until nothing changes."""
    return Repeat(
        (
            SimplifyShapes(),
            DecideBranches(),
            FoldConstants(trainable=trainable),
            RemoveNoOps(trainable=trainable),
            ShareEqual(),
            RemoveDead(),
        )
    )


def for_onnx(hub: Hub, version: int = HUB_OPSET, *, options: Options | None = None) -> Hub:
    """The hub as ONNX Runtime runs it at opset ``version``: it knows com.microsoft, and optimises by itself."""
    asked = options or Options()
    asks = AskLayouts(asked.input_layouts, asked.output_layouts)
    return run(
        hub, (asks, ChannelsFirst(), ListAllPads(), KeepZeros(version), GatherTextByRow(), WidenTypes(version))
    )
