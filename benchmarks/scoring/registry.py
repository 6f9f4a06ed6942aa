"""The groups of measures there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from omnilive.errors import ConfigError
from scoring.aloud import Aloud
from scoring.groups import Group, Scale
from scoring.hearing import Hearing
from scoring.instruction import Instruction
from scoring.seeing import Seeing

GROUPS: Mapping[str, Callable[[int, Scale], Group]] = MappingProxyType(
    {group.name: group for group in (Hearing, Instruction, Seeing, Aloud)}
)


def groups_of(names: Sequence[str], seed: int, scale: Scale) -> list[Group]:
    """The groups of these names, in the order of ``GROUPS``.

    Raises:
        ConfigError: there is no such group.
    """
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise ConfigError(
            f"has no {unknown[0]!r}", where="--measures", mend=f"Use {', '.join(GROUPS)}."
        )
    return [make(seed, scale) for name, make in GROUPS.items() if name in names]
