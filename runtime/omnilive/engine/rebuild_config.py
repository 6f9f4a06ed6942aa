"""Whether a pack that a change of the machine made stale is built again. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_choice

WHEN = ("needed", "never")


@dataclass(frozen=True)
class RebuildConfig:
    """What happens when a pack was built for another backend version or device."""

    when: str = "needed"
    """``needed``: build it again before it is loaded, if its checkpoint is at hand; ``never``:
    refuse it with the command that does."""

    checkpoint: str = ""
    """Folder of the checkpoint to build from; empty takes the one the pack was built from."""

    def validate(self) -> None:
        """Raises ConfigError for another choice."""
        check_choice("rebuild.when", self.when, WHEN)
