"""The relayer: closes batches, anchors their roots, watches them to finality and follows reorganisations.

A job is `confirmed` only when its batch is final by the chain profile (C81); until then nothing about the job changes,
so a reorganisation within the depth repeats no event and no charge: the batch is simply sent again.

`closing` makes batches, `leaves` their trees and files, `sending` signs, `watching` follows what was sent,
`confirming` judges finality, `repairing` anchors again what a deeper reorganisation took away when an operator asks for
it, `pulse` and `timing` feel how the chain is, `reporting` says how all stands, `relayer` is the loop around them.
"""

from simulator.relayer.leaves import leaf_of, tree_of
from simulator.relayer.relayer import PAUSED, Relayer, Rules
from simulator.relayer.repairing import Asked, put_asked, read_asked
from simulator.relayer.reporting import has_stopped

__all__ = ["PAUSED", "Asked", "Relayer", "Rules", "has_stopped", "leaf_of", "put_asked", "read_asked", "tree_of"]
