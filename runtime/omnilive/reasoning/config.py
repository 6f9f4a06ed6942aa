"""What can be configured about reasoning. Data only: one frozen dataclass per concern."""

from __future__ import annotations

from dataclasses import dataclass

from omnilive.errors import ConfigError
from omnilive.limits import check_choice, check_range

QUESTION_MARK = "{question}"
"""Where a template takes the user's words."""

TRANSFORMS = ("image", "video")

MOST_TOKENS = 10_000_000
"""More tokens than any context holds: a limit of this many is none."""


@dataclass(frozen=True)
class BudgetConfig:
    """How much evidence one answer may take (spec §1.4, §2.7)."""

    max_visual_tokens: int = 4096
    """Image tokens of one prompt, separators included; 0 shows no frames."""

    max_prompt_tokens: int = 0
    """Tokens of one prompt, text and memory included; 0 takes what the context leaves."""

    max_prefill_ms: float = 2_000.0
    """Estimated milliseconds of tile encoding and prefill; 0 sets no limit."""

    prefill_us_per_token: float = 150.0
    """Microseconds of prefill per prompt token, as measured on the device.

    The default is the float32 miniature's on one core; a pack of another size needs its own.
    """

    tile_us: float = 7_000.0
    """Microseconds of the image encoder per tile, measured likewise."""

    max_frames: int = 8
    """Frames stitched into one picture (reference: 32 offline, 2 online). The miniature learned
    from up to 8."""

    transform: str = "video"
    """``image``: up to ``hd_num`` tiles (online demo); ``video``: short side one tile (offline)."""

    hd_num: int = 24
    """Most tiles of the ``image`` transform, the global view left out."""

    max_frames_per_tile: float = 2.0
    """Frames that may share a tile before the budget thins frames instead of shrinking them.

    The ``video`` transform puts about 1.6 landscape frames in a tile.
    """

    def validate(self) -> None:
        """Check ranges. Raises ConfigError naming the field."""
        check_range("budget.max_visual_tokens", self.max_visual_tokens, 0, MOST_TOKENS, "tokens")
        check_range("budget.max_prompt_tokens", self.max_prompt_tokens, 0, MOST_TOKENS, "tokens")
        check_range("budget.max_prefill_ms", self.max_prefill_ms, 0, 3_600_000, "ms")
        check_range("budget.prefill_us_per_token", self.prefill_us_per_token, 0, 10_000_000, "us")
        check_range("budget.tile_us", self.tile_us, 0, 100_000_000, "us")
        check_range("budget.max_frames", self.max_frames, 0, 4096, "frames")
        check_range("budget.hd_num", self.hd_num, 1, 1024, "tiles")
        check_range("budget.max_frames_per_tile", self.max_frames_per_tile, 0.1, 256, "frames")
        check_choice("budget.transform", self.transform, TRANSFORMS)


MOST_TILES_PER_STEP = 4
"""Tiles that the image encoder is ever given at once, and that its engines are built for: the
memory of a run grows with them, and a step that holds the device grows too."""


@dataclass(frozen=True)
class PromptConfig:
    """The words around the evidence (spec §1.6, §2.7). Defaults are the offline reference's."""

    system_prompt_en: str = (
        "You watch a live video and hear its sound. Answer in the user's language, briefly."
    )
    """System turn for questions in English; empty for none, as in the offline reference."""

    system_prompt_zh: str = "你在观看直播视频并听到声音。请用用户的语言简短回答。"
    """System turn for questions in Chinese; empty for none."""

    overview_label: str = "This is video overview memory:"
    """Words before the long-term memory."""

    related_label: str = "This is question related video memory:"
    """Words before the short-term memory of the retrieved clips."""

    question_template: str = "Question: Here are some frames of a video. {question}"
    """The question where frames are shown."""

    question_template_without_frames: str = "Question: {question}"
    """The question where no frame is shown."""

    answer_prefix: str = ""
    """Words the answer is made to begin with; they are not part of the answer's text.

    The offline reference uses "The answer is".
    """

    tiles_per_step: int = 2
    """Tiles the image encoder takes at once; the longest a prompt step can hold the device."""

    def validate(self) -> None:
        """Check templates and ranges. Raises ConfigError naming the field."""
        _one_question("prompt.question_template", self.question_template)
        _one_question(
            "prompt.question_template_without_frames", self.question_template_without_frames
        )
        check_range("prompt.tiles_per_step", self.tiles_per_step, 1, MOST_TILES_PER_STEP, "tiles")


@dataclass(frozen=True)
class InstructionConfig:
    """Whether an utterance asks for an answer (spec §4)."""

    template: str = 'Is the following string an instruction? "{question}"'
    """The yes/no prompt."""

    threshold: float = 0.5
    """Least probability of yes at which an utterance is answered; 0 answers everything said."""

    max_prompt_tokens: int = 1024
    """Longest yes/no prompt in tokens; it has a KV arena of its own of this size."""

    step_tokens: int = 256
    """Tokens per prefill step: the longest piece of work nothing else can interrupt."""

    def validate(self) -> None:
        """Check template and ranges. Raises ConfigError naming the field."""
        _one_question("instruction.template", self.template)
        check_range("instruction.threshold", self.threshold, 0, 1)
        check_range(
            "instruction.max_prompt_tokens", self.max_prompt_tokens, 16, MOST_TOKENS, "tokens"
        )
        check_range("instruction.step_tokens", self.step_tokens, 1, 65_536, "tokens")


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is chosen. Defaults are greedy; the online demo's are 0.1, 50, 0.8."""

    temperature: float = 0.0
    """0 takes the likeliest token; above, logits are divided by it."""

    top_k: int = 50
    """Tokens kept before drawing; 0 keeps all."""

    top_p: float = 0.8
    """Least probability mass kept before drawing; 1 keeps all."""

    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens already answered; 1 is off."""

    seed: int = 0
    """Seed of the draws; each generation draws from its own stream of it."""

    def validate(self) -> None:
        """Check ranges. Raises ConfigError naming the field."""
        check_range("sampling.temperature", self.temperature, 0, 10)
        check_range("sampling.top_k", self.top_k, 0, MOST_TOKENS, "tokens")
        check_range("sampling.top_p", self.top_p, 1e-6, 1)
        check_range("sampling.repetition_penalty", self.repetition_penalty, 0.1, 10)
        check_range("sampling.seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True)
class ReasoningConfig:
    """The limits of one answer and the size of its steps."""

    max_new_tokens: int = 0
    """Longest answer in tokens; 0 takes the pack's (lmdeploy's default was 512)."""

    context_tokens: int = 0
    """Tokens of prompt and answer together; 0 takes all positions of the engine."""

    prefill_chunk: int = 256
    """Prompt tokens prefilled in one step; a cancel lands between steps."""

    keep_prefix: bool = True
    """Whether the KV of what two prompts in a row begin with (system turn, unchanged overview
    memory) is kept; without it each prompt is prefilled whole, as in the reference."""

    def validate(self) -> None:
        """Check ranges. Raises ConfigError naming the field."""
        check_range("reasoning.max_new_tokens", self.max_new_tokens, 0, MOST_TOKENS, "tokens")
        check_range("reasoning.context_tokens", self.context_tokens, 0, MOST_TOKENS, "tokens")
        check_range("reasoning.prefill_chunk", self.prefill_chunk, 1, 65_536, "tokens")


def _one_question(where: str, template: str) -> None:
    if template.count(QUESTION_MARK) != 1:
        raise ConfigError(
            f"holds {QUESTION_MARK} {template.count(QUESTION_MARK)} times",
            where=where,
            mend=f"Put {QUESTION_MARK} once where the user's words belong.",
        )
