"""The answer in progress: what was decoded, spoken and heard of it. It decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from omnilive import events
from omnilive.lanes import Finished
from omnilive.reasoning.reasoner import Answer, AnswerToken
from omnilive.session.evidence import Question
from omnilive.session.playout import Ledger, Played
from omnilive.session.scene import Change, Scene
from omnilive.speech.sentences import SentenceSplitter
from omnilive.speech.words import Spoken


@dataclass(eq=False)
class Speaking:
    """State of one generation of an answer.

    Attributes:
        answer: its decoding, from the prefill on.
        text: as far as it was decoded.
        lengths: length of the text after each token.
        wall_us: measured time of the steps since the last event they led to.
        ended_by: why the text ended; empty while it is being decoded.
        unspoken: sentences not yet on the track.
        ready: those of them that are synthesized, each with where it begins in the text.
        heard_us: when the last sentence on the track has been heard.
        said_before: characters that an older generation has spoken.
        ledger: the sentences on the track.
        reported: the client's account of this generation, if there was any.
        handed: samples handed to the client.
        scene: what was to be seen when it was begun, or last refreshed.
        change: the scene it is to go on with, once its decoding takes note.
    """

    question: Question
    splitter: SentenceSplitter
    answer: Answer | None = None
    text: str = ""
    lengths: list[int] = field(default_factory=list)
    wall_us: int = 0
    ended_by: str = ""
    unspoken: int = 0
    ready: list[tuple[int, Finished[Spoken]]] = field(default_factory=list)
    heard_us: int = 0
    said_before: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    reported: Played | None = None
    handed: int = 0
    scene: Scene | None = None
    change: Change | None = None
    _searched: int = 0

    @property
    def ids(self) -> tuple[int, int]:
        """The first two fields of its events."""
        return self.question.utterance, self.question.generation

    @property
    def tokens(self) -> int:
        """Tokens decoded, the one that ended it left out."""
        return len(self.lengths)

    @property
    def finished(self) -> events.AnswerFinished:
        """Its outcome when nothing stops it."""
        language = self.question.language
        return events.AnswerFinished(*self.ids, self.text, language, self.tokens, self.ended_by)

    @property
    def spoken_out(self) -> bool:
        """Whether its text is complete and all of it is on the track."""
        return bool(self.ended_by) and not self.unspoken

    @property
    def is_played_out(self) -> bool:
        """Whether the client said that nothing more of it will sound."""
        return self.reported is not None and self.reported.final

    def is_heard(self, by_time: bool) -> bool:
        """Whether all that is on the track was heard: by the client's account, else ``by_time``."""
        if self.reported is None:
            return by_time
        return self.reported.samples >= self.ledger.samples

    def take(self, token: AnswerToken) -> list[str]:
        """Add a token; return the sentences now complete, of what is not spoken yet."""
        fresh = token.text_delta[max(0, self.said_before - len(self.text)) :]
        self.text += token.text_delta
        if token.reason != "stop":
            self.lengths.append(len(self.text))
        self.ended_by = token.reason
        sentences = self.splitter.push(fresh)
        return [*sentences, *self.splitter.flush()] if token.done else sentences

    def locate(self, sentence: str) -> int:
        """Where the next sentence begins in the text; the splitter drops only space."""
        at = self.text.index(sentence, max(self._searched, self.said_before))
        self._searched = at + len(sentence)
        return at

    def report(self, played: Played) -> None:
        """The client's account; it never goes back, nor beyond what the client was given."""
        samples = min(max(0, played.samples), self.handed)
        if self.reported is not None:
            played = replace(played, final=played.final or self.reported.final)
            samples = max(samples, self.reported.samples)
        self.reported = replace(played, samples=samples)

    def said_at(self, at_us: int) -> int:
        """Characters up to the last word heard by ``at_us``, by the client's account if any."""
        reported = self.reported
        played = self.ledger.played_at(at_us) if reported is None else reported.samples
        said = self.ledger.said(played)
        # The space after a word is no sound, but it may be of the word's token.
        return said + len(self.text[said:]) - len(self.text[said:].lstrip())

    def resumed(self, said: int, generation: int, splitter: SentenceSplitter) -> Speaking:
        """The state of a generation that goes on after the first ``said`` characters."""
        kept = tokens_within(self.lengths, said)
        return Speaking(
            replace(self.question, generation=generation),
            splitter,
            answer=self.answer,
            text=self.text[: self.lengths[kept - 1]] if kept else "",
            lengths=self.lengths[:kept],
            said_before=said,
            ledger=Ledger(said),
            scene=self.scene,
        )


def tokens_within(lengths: list[int], said: int) -> int:
    """How many tokens make up the text within the first ``said`` characters.

    Tokens of a character that is not whole yet add no text: those after the last one that did
    are left out.

    Args:
        lengths: length of the text after each token, ascending.
        said: characters.
    """
    within = [length for length in lengths if length <= said]
    return lengths.index(within[-1]) + 1 if within and within[-1] else 0
