"""How a session behaves: the order of a turn, what counts as evidence, what it may keep."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.limits import check_choice, check_range

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
    resume_grace_ms: int = 4_000
    """An answer that was interrupted by what turns out to be no words, or a filler, goes on from
    where it stopped if that is known within this time of the interruption, milliseconds; 0 never
    goes on."""
    playout_wait_ms: int = 500
    """How long the account of what was heard waits for a listening client's own, milliseconds
    after an interruption and after an answer's last word."""
    max_words: int = 256
    """Words kept of what somebody said without a pause, the last ones: a request comes at the
    end of a long story. A Chinese character counts as a word, and so does every further
    ``language.LONGEST_WORD`` characters of a longer word. Some 350 tokens at full size."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        check_choice("turn.order", self.order, CHECK_ORDERS)
        check_choice("turn.snapshot", self.snapshot, SNAPSHOTS)
        check_range("turn.resume_grace_ms", self.resume_grace_ms, 0, 600_000, "ms")
        check_range("turn.playout_wait_ms", self.playout_wait_ms, 0, 60_000, "ms")
        check_range("turn.max_words", self.max_words, 1, 100_000, "words")


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
    frames_per_step: int = 2
    """Keyframes read and stitched at once; the longest this can hold the reason lane."""

    def validate(self) -> None:
        """Raises ConfigError for a value outside its range."""
        check_choice("evidence.frame_rule", self.frame_rule, FRAME_RULES)
        check_range("evidence.current_frames", self.current_frames, 0, 256, "frames")
        check_range("evidence.frames_per_step", self.frames_per_step, 1, 256, "frames")
