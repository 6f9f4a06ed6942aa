"""An interrupted answer goes on from its last spoken word, or is over: to the word, to the sample.

The scripted voice speaks 50 ms a character, and its words end in proportion to their characters.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omnilive import events
from omnilive.session.config import TurnConfig
from omnilive.session.costs import VirtualCostConfig
from omnilive.session.playout import Played
from omnilive.speech.words import word_starts
from session_parts import CHAR_SAMPLES
from session_room import OUTCOMES, RATE, Room, S

QUICK = VirtualCostConfig(prefill_token_us=10, tile_us=10, keyframe_us=10, decode_step_us=1_000)
TALE = "There is a big, blue box. It stands on the table; 杯子在桌上。 Nobody took it. "
CHAR_US = CHAR_SAMPLES * S // RATE


def words_before(room: Room, at_us: int, utterance: int = -1) -> str:
    """The text whose words had ended by ``at_us``, worked out from the log of the first try."""
    said, end = "", 0
    sentences = room.events(events.SentenceSpoken, utterance)
    for sentence in (s for s in sentences if s.generation == sentences[0].generation):
        text, start = sentence.text, TALE.index(sentence.text, end)
        end = start + len(text)
        for until in [*word_starts(text)[1:], len(text)]:
            if sentence.start_us + until * CHAR_US <= at_us:
                said = TALE[: start + until]
    return said.rstrip()


def spoken_words(room: Room, utterance: int = -1) -> list[tuple[str, str]]:
    """Every word that was heard to its end, sentence by sentence, with what cut it off."""
    cuts = [at_us for at_us, _ in room.timed(events.AnswerInterrupted, utterance)]
    heard = []
    for at_us, sentence in room.timed(events.SentenceSpoken, utterance):
        cut_us = min((c for c in cuts if c >= at_us), default=10**12)
        text = sentence.text
        ends = [*word_starts(text)[1:], len(text)]
        for begin, until in zip(word_starts(text), ends, strict=True):
            if sentence.start_us + until * CHAR_US <= cut_us:
                heard.append(text[begin:until].strip())
    return heard


@settings(max_examples=60, deadline=None)
@given(at_ms=st.integers(1_000, 9_000), step_ms=st.sampled_from([1, 45, 400]))
def test_what_was_spoken_is_the_words_that_ended_before_the_interruption(
    at_ms: int, step_ms: int
) -> None:
    costs = VirtualCostConfig(prefill_token_us=10, decode_step_us=step_ms * 1_000)
    room = Room(answer=TALE, costs=costs)
    room.ask(0.5, "what is this")
    room.at(at_ms / 1_000, lambda: room.interruptions.interrupt())
    room.run(1)
    if not room.events(events.AnswerInterrupted):
        assert room.outcome(-1).kind == "answer_finished"
        return
    outcome = room.outcome(-1)
    spoken = outcome.spoken if outcome.kind == "answer_cancelled" else outcome.text.rstrip()
    assert spoken == words_before(room, at_ms * 1_000)
    # Nothing of it is decoded, placed or spoken afterwards.
    for kind in (events.TokenDecoded, events.SentenceSpoken):
        assert all(at_us <= at_ms * 1_000 for at_us, _ in room.timed(kind, -1))


@settings(max_examples=60, deadline=None)
@example(gaps_ms=[472, 496], step_ms=1, word="um")
@given(
    gaps_ms=st.lists(st.integers(100, 4_000), min_size=1, max_size=4),
    step_ms=st.sampled_from([1, 45, 400]),
    word=st.sampled_from(["um", ""]),
)
def test_false_interruptions_leave_the_words_of_the_answer_as_they_were(
    gaps_ms: list[int], step_ms: int, word: str
) -> None:
    costs = VirtualCostConfig(prefill_token_us=10, decode_step_us=step_ms * 1_000)
    undisturbed = Room(answer=TALE, costs=costs)
    undisturbed.ask(0.5, "what is this")
    undisturbed.run(1)

    room = Room(answer=TALE, costs=costs, turn=TurnConfig(resume_grace_ms=60_000))
    room.check.fillers = tuple(" ".join(["um"] * n) for n in range(1, 5))
    room.ask(0.5, "what is this")
    at_s = 1.0
    for gap_ms in gaps_ms:
        at_s += gap_ms / 1_000
        room.say(at_s, at_s + 0.4, word)
        at_s += 0.4
    room.run(20)
    outcome = room.outcome(-1)
    assert (outcome.kind, outcome.text) == ("answer_finished", TALE)
    assert spoken_words(room) == spoken_words(undisturbed)
    resumed = room.events(events.AnswerResumed)
    for one in resumed:
        # Just the tokens are kept all of whose words were spoken.
        pieces, kept = undisturbed.speaker.pieces, one.spoken_tokens
        assert one.spoken.startswith("".join(pieces[:kept]).rstrip())
        assert len("".join(pieces[: kept + 1]).rstrip()) > len(one.spoken)


def interrupted_by(word: str, turn: TurnConfig | None = None, end_s: float = 14) -> Room:
    """An answer that begins to sound at about 2.6 s is spoken into from 4 to 5 s."""
    room = Room(answer=TALE, costs=QUICK, turn=turn)
    room.say(1, 2, "what is this")
    room.say(4, 5, word)
    room.run(end_s)
    return room


def order(room: Room) -> list[tuple[str, int]]:
    kinds = (*OUTCOMES, "answer_interrupted", "answer_resumed")
    return [(e.kind, e.utterance) for e in room.events() if e.kind in kinds]


def test_a_filler_lets_the_answer_go_on_as_soon_as_it_is_known_to_be_one() -> None:
    room = interrupted_by("um")
    assert order(room) == [
        ("answer_interrupted", 0),
        ("unanswered", 1),
        ("answer_resumed", 0),
        ("answer_finished", 0),
    ]
    ((resumed_us, resumed),) = room.timed(events.AnswerResumed)
    assert resumed_us == room.timed(events.InstructionChecked, 1)[0][0]
    assert resumed.generation > room.only(events.AnswerInterrupted).by_generation
    again = [t for t in room.events(events.TokenDecoded) if t.generation == resumed.generation]
    assert again[0].index == resumed.spoken_tokens > 0


def test_a_question_ends_the_answer_it_interrupts() -> None:
    room = interrupted_by("and that")
    assert order(room) == [
        ("answer_interrupted", 0),
        ("answer_cancelled", 0),
        ("answer_finished", 1),
    ]
    cancelled = room.only(events.AnswerCancelled)
    assert cancelled.spoken == words_before(room, room.timed(events.AnswerInterrupted)[0][0], 0)
    assert 0 < len(cancelled.spoken) < len(TALE)


def test_without_a_grace_an_interrupted_answer_is_over_at_once() -> None:
    room = interrupted_by("um", TurnConfig(resume_grace_ms=0))
    assert order(room) == [
        ("answer_interrupted", 0),
        ("answer_cancelled", 0),
        ("unanswered", 1),
    ]
    at_us = [room.timed(kind)[0][0] for kind in (events.AnswerInterrupted, events.AnswerCancelled)]
    assert at_us[0] == at_us[1] == room.timed(events.SpeechStarted, 1)[0][0]


def test_a_filler_known_too_late_ends_the_answer_when_the_grace_is_over() -> None:
    room = interrupted_by("um", TurnConfig(resume_grace_ms=1_000))
    ((interrupted_us, _),) = room.timed(events.AnswerInterrupted)
    ((cancelled_us, _),) = room.timed(events.AnswerCancelled)
    assert cancelled_us - interrupted_us == 1_000_000
    assert not room.events(events.AnswerResumed)


def test_an_answer_whose_question_goes_on_is_not_interrupted() -> None:
    slow = VirtualCostConfig(decode_step_us=300_000)
    room = Room(answer=TALE, costs=slow)
    room.say(1, 2, "what is this")
    room.say(3, 4, "on the table")
    room.run(20)
    assert order(room) == [("answer_finished", 0)]


def test_an_answer_not_heard_yet_goes_on_from_its_first_word() -> None:
    room = Room(answer=TALE, costs=VirtualCostConfig(speech_us_per_s=3_000_000))
    room.say(1, 2, "what is this")
    room.say(4, 5, "um")
    room.run(8)
    assert not [e for e in room.events(events.SentenceSpoken) if e.generation == 1]
    resumed = room.only(events.AnswerResumed)
    assert (resumed.spoken, resumed.spoken_tokens) == ("", 0)
    assert room.outcome(0).text == TALE
    again = [t for t in room.events(events.TokenDecoded) if t.generation == resumed.generation]
    assert "".join(t.text for t in again) == TALE


def test_what_interrupted_may_go_on_before_it_is_known_to_be_nothing() -> None:
    slow = VirtualCostConfig(
        prefill_token_us=10, decode_step_us=1_000, audio_encode_us_per_s=400_000
    )
    room = Room(answer=TALE, costs=slow)
    room.check.fillers = ("um", "um um")
    room.say(1, 2, "what is this")
    room.say(5, 5.5, "um")
    room.say(6.2, 6.7, "um")
    room.run(16)
    assert len(room.events(events.SpeechContinued)) == 1
    assert order(room) == [
        ("answer_interrupted", 0),
        ("unanswered", 1),
        ("answer_resumed", 0),
        ("answer_finished", 0),
    ]


def test_a_client_that_stops_an_answer_may_let_it_go_on() -> None:
    room = Room(answer=TALE, costs=QUICK)
    room.ask(1, "what is this")
    room.at(3, lambda: room.interruptions.interrupt())
    room.at(4, lambda: room.interruptions.resume())
    room.run(5)
    assert order(room) == [
        ("answer_interrupted", -1),
        ("answer_resumed", -1),
        ("answer_finished", -1),
    ]
    assert room.only(events.AnswerResumed).spoken == words_before(room, 3 * S)


def test_a_client_that_means_an_answer_which_is_over_stops_nothing() -> None:
    room = Room(answer=TALE, costs=QUICK)
    room.ask(1, "what is this")
    room.at(3, lambda: room.interruptions.interrupt(generation=0))
    room.run(5)
    assert order(room) == [("answer_finished", -1)]


def test_a_client_that_means_the_answer_in_progress_stops_it() -> None:
    room = Room(answer=TALE, costs=QUICK)
    room.ask(1, "what is this")
    current: list[int] = []

    def stop() -> None:
        current.extend(e.generation for e in room.events(events.TokenDecoded))
        room.interruptions.interrupt(generation=current[-1])

    room.at(3, stop)
    room.run(5)
    assert order(room) == [("answer_interrupted", -1), ("answer_cancelled", -1)]


def test_a_client_that_stops_an_answer_and_says_no_more_ends_it() -> None:
    room = Room(answer=TALE, costs=QUICK)
    room.ask(1, "what is this")
    room.at(3, lambda: room.interruptions.interrupt())
    room.run(5)
    assert room.outcome(-1).kind == "answer_cancelled"
    assert not room.events(events.AnswerResumed)


def test_a_session_does_not_wait_for_the_end_of_an_answer_that_is_stopped_for_good() -> None:
    room = Room(answer=TALE, costs=QUICK)
    room.ask(1, "what is this")
    room.at(2, lambda: room.interruptions.stop())
    room.run(3)
    assert room.outcome(-1).kind == "answer_cancelled"
    assert max(s.end_us for s in room.events(events.SentenceSpoken)) > 4 * S
    assert room.lanes.now_us() < 4 * S


class Player:
    """A client that plays what it is given ``delay_s`` late and tells every 100 ms how far it is.

    On an interruption it stops and, ``answer_s`` later, gives its final account.
    """

    def __init__(self, room: Room, delay_s: float, answer_s: float) -> None:
        self._room, self._delay_us = room, round(delay_s * S)
        for tenth in range(10, 200):
            room.at(tenth / 10, self._tell)
        self._answer_us = round(answer_s * S)
        self._stopped: dict[int, int] = {}

    def played(self, generation: int, at_us: int) -> int:
        """Samples of a generation that have sounded."""
        chunks = [c for c in self._room.chunks if c.generation == generation]
        begun = [
            min(max(at_us - self._delay_us - c.pts_us, 0) * RATE // S, len(c.samples))
            for c in chunks
        ]
        return sum(begun)

    def interrupted_at(self, at_us: int, generation: int) -> None:
        samples = self.played(generation, at_us)
        self._stopped[generation] = samples
        self._room.lanes.at(
            at_us + self._answer_us,
            lambda: self._room.interruptions.report(Played(generation, samples, final=True)),
        )

    def _tell(self) -> None:
        generations = {c.generation for c in self._room.chunks}
        for generation in generations - self._stopped.keys():
            samples = self.played(generation, self._room.lanes.now_us())
            self._room.interruptions.report(Played(generation, samples))


@pytest.mark.parametrize(
    ("word", "grace_ms", "kind"),
    [
        ("um", 4_000, "answer_resumed"),
        ("and that", 4_000, "answer_cancelled"),
        ("um", 0, "answer_cancelled"),
    ],
)
@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_what_a_client_played_is_what_was_spoken(
    word: str, grace_ms: int, kind: str, delay_s: float
) -> None:
    turn = TurnConfig(resume_grace_ms=grace_ms)
    room = Room(answer=TALE, costs=QUICK, turn=turn, listened=True)
    room.say(1, 2, "what is this")
    room.say(4, 5, word)
    player = Player(room, delay_s, answer_s=0.2)
    emit = room.log.emit

    def watch(event: Any, **more: Any) -> int:
        if event.kind == "answer_interrupted":
            player.interrupted_at(room.lanes.now_us(), event.generation)
        return int(emit(event, **more))

    room.log.emit = watch
    room.run(14)
    ((at_us, interrupted),) = room.timed(events.AnswerInterrupted)
    (event,) = (e for e in room.events(utterance=0) if e.kind == kind)
    assert event.spoken == words_before(room, at_us - round(delay_s * S), 0)
    # Its final account is waited for: the one before may be a word behind.
    ((told_us, _),) = room.timed(type(event), 0)
    assert told_us >= at_us + 200_000
    # Nothing stale reaches the client.
    after = [c for c in room.chunks if c.pts_us >= at_us + S]
    assert all(c.generation != interrupted.generation for c in after)


def test_a_client_gets_the_whole_sound_of_an_answer_in_order() -> None:
    room = Room(answer=TALE, costs=QUICK, listened=True)
    room.ask(1, "what is this")
    room.run(2)
    at = 0
    for chunk in room.chunks:
        assert chunk.first_sample == at
        at += len(chunk.samples)
    assert [c.last for c in room.chunks] == [False] * (len(room.chunks) - 1) + [True]
    sentences = room.events(events.SentenceSpoken)
    assert at == sum(len(s.text) for s in sentences) * CHAR_SAMPLES


def test_no_chunk_of_an_answer_follows_its_interruption_nor_comes_long_before_its_time() -> None:
    room = Room(answer=TALE, costs=QUICK, listened=True)
    room.ask(1, "what is this")
    handed: list[int] = []
    for at_s in (2.5, 3, 3.000_001):
        room.at(at_s, lambda: handed.append(len(room.chunks)))
    room.at(3, lambda: room.interruptions.interrupt())
    room.run(5)
    assert 0 < handed[0] < handed[1] == handed[2] == len(room.chunks)
    assert 3 * S < max(c.pts_us for c in room.chunks) <= 3 * S + 400_000
