"""How a session behaves: the order of a turn, what counts as evidence, what it may keep."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError

CHECK_ORDERS = ("parallel", "check_first", "ground_first")
SNAPSHOTS = ("speech_start", "speech_end")
FRAME_RULES = ("selected", "demo_pair")


@dataclass(frozen=True)
class TurnConfig:
    """One turn of conversation."""

    order: str = "parallel"
    """Instruction check and grounding: ``parallel``, ``check_first`` (paper §3.4), or
    ``ground_first`` (the released demo, spec §4)."""
    snapshot: str = "speech_end"
    """Memory a question sees: what was known at ``speech_start`` (paper §3.4), or everything up
    to ``speech_end``, so that a thing raised while asking is seen."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        _one_of("turn.order", self.order, CHECK_ORDERS)
        _one_of("turn.snapshot", self.snapshot, SNAPSHOTS)


@dataclass(frozen=True)
class EvidenceConfig:
    """What of memory is offered to the reasoner, before the token budget thins it."""

    frame_rule: str = "selected"
    """``selected``: all keyframes of the selected clips; ``demo_pair``: last and third-last frame
    of the one selected clip (spec §2.7)."""
    current_frames: int = 3
    """Newest frames always offered besides the selected clips', so that "this" can be seen."""
    memory_tokens: bool = True
    """Whether long-term and short-term memory go to the reasoner (the demo leaves them out)."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        _one_of("evidence.frame_rule", self.frame_rule, FRAME_RULES)
        if self.current_frames < 0:
            raise ConfigError(
                f"is {self.current_frames}",
                where="evidence.current_frames",
                mend="Use 0 or more frames.",
            )


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"is {value!r}", where=where, mend=f"Use one of {', '.join(allowed)}.")
