"""What differs between the versions of TensorRT that packs are built with: the only such file.

Supported are 10.3 (JetPack 6), 10.13 (JetPack 7) and 11. Facts only: it never calls TensorRT.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import SetupError
from omnilive.versions import release

OLDEST = (10, 3)


@dataclass(frozen=True)
class VersionFacts:
    """One version of TensorRT.

    Attributes:
        name: as it states itself, e.g. ``10.3.0``.
        parser: ``major.minor``, as `operators.json` counts.
        asks_for_strong_typing: networks are weakly typed unless a creation flag says otherwise.
            From 11 on all are strongly typed and the flag is ignored. No version may be given a
            precision flag (FP16, BF16, INT8): 11 has none left, and a strongly typed network
            refuses them before.
        hardware_levels: names of ``HardwareCompatibilityLevel``.
    """

    name: str
    parser: str
    asks_for_strong_typing: bool
    hardware_levels: tuple[str, ...]


def version_facts(name: str) -> VersionFacts:
    """The facts of the version called ``name``.

    Raises:
        SetupError: it is older than 10.3, or its name is no version.
    """
    found = release(name)[:2]
    if len(found) < 2 or found < OLDEST:
        raise SetupError(
            f"TensorRT {name} is not supported",
            where="--backend tensorrt",
            mend="Install TensorRT 10.3 (JetPack 6), 10.13 (JetPack 7) or newer.",
        )
    major, minor = found
    levels: tuple[str, ...] = ("NONE", "AMPERE_PLUS")
    if found >= (10, 13):
        levels = (*levels, "SAME_COMPUTE_CAPABILITY")
    return VersionFacts(name, f"{major}.{minor}", major < 11, levels)
