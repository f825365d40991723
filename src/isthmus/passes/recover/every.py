"""The recoveries in their order."""

from __future__ import annotations

from isthmus.passes.base import HubPass
from isthmus.passes.recover.activations import RecoverHardSigmoid, RecoverHardSwish, RecoverMish
from isthmus.passes.recover.batchnorm import RecoverBatchNorm
from isthmus.passes.recover.directions import JoinDirections
from isthmus.passes.recover.gelu import RecoverGelu
from isthmus.passes.recover.groupnorm import RecoverGroupNorm
from isthmus.passes.recover.layernorm import RecoverLayerNorm
from isthmus.passes.recover.only import TakeOnly
from isthmus.passes.recover.planes import RecoverPlanes
from isthmus.passes.recover.recurrent import RecoverRecurrent
from isthmus.passes.recover.tensordot import RecoverDense


def recoveries() -> tuple[HubPass, ...]:
    """What is recovered of a graph whose operators a framework's own library spelled out."""
    return (
        RecoverPlanes(),
        RecoverBatchNorm(),
        RecoverGroupNorm(),
        RecoverLayerNorm(),
        RecoverGelu(),
        RecoverHardSigmoid(),
        RecoverHardSwish(),
        RecoverMish(),
        RecoverDense(),
        RecoverRecurrent(),
        JoinDirections(),
        TakeOnly(),
    )
