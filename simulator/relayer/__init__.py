"""The relayer: closes batches, anchors their roots, watches them to finality and follows reorganisations.

A job is `confirmed` only when its batch is final by the chain profile (C81); until then nothing about the job changes,
so a reorganisation within the depth repeats no event and no charge: the batch is simply sent again.

`closing` makes batches, `leaves` their trees and files, `sending` signs, `watching` follows what was sent,
`confirming` judges finality, `reporting` says how it stands, `relayer` is the loop around them.
"""

from simulator.relayer.leaves import leaf_of, tree_of
from simulator.relayer.relayer import PAUSED, Relayer, Rules

__all__ = ["PAUSED", "Relayer", "Rules", "leaf_of", "tree_of"]
