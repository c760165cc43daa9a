"""What HQ and an outlet must agree on before they add anything up."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

from features.bands import EVIDENCE_CAP
from features.calibration import FINE_CUTS
from features.events import CATALOGUE, FEATURE_NAMES
from features.learning import BIN_EDGES, FLAG_SHARE, LARGEST_ENTRY, ROW_CLIP, USUAL_CLIP
from features.points import ELSEWHERE, PART_BOUND


def app_digest() -> str:
    """SHA-256, in hex, of everything public that an answer depends on, the version included.

    A Flower run carries it in place of code: an outlet answers only a run with its own digest. No
    code travels, so it says which release is installed, not that nobody changed it.
    """
    agreed = [
        version("escapement"), CATALOGUE, FEATURE_NAMES, USUAL_CLIP, ROW_CLIP, FLAG_SHARE,
        LARGEST_ENTRY, BIN_EDGES.tolist(), FINE_CUTS, PART_BOUND, ELSEWHERE, EVIDENCE_CAP,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(agreed).encode()).hexdigest()
