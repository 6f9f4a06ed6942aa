"""The protocol's messages: what is encoded is read again, and nothing else gets through."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnilive.service.faults import ProtocolError
from omnilive.service.media_frames import (
    IN_HEADER,
    LONGEST_PTS_US,
    MediaLimits,
    PcmMessage,
    PictureMessage,
    decode_answer_audio,
    decode_media,
    encode_answer_audio,
    encode_media,
)
from omnilive.service.protocol import (
    MESSAGES,
    PROTOCOL_VERSION,
    AskMessage,
    ClientMessage,
    Hello,
    TextLimits,
    decode_text,
    encode_text,
)

FUZZED = 100_000
CODES = {"malformed", "too_large", "too_long", "unsupported"}

integers = st.integers(-((1 << 53) - 1), (1 << 53) - 1)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = {"int": integers, "bool": st.booleans(), "str": words}


@st.composite
def messages(draw: st.DrawFn) -> ClientMessage:
    cls = draw(st.sampled_from(sorted(MESSAGES.values(), key=lambda c: c.kind)))
    fields = {f.name: draw(values[str(f.type)]) for f in dataclasses.fields(cls)}
    if cls is Hello:
        fields["protocol"] = PROTOCOL_VERSION
    if cls is AskMessage:
        fields["text"] = "what " + fields["text"]
    return cls(**fields)


@given(messages())
def test_a_text_message_is_read_as_it_was_written(message: ClientMessage) -> None:
    assert decode_text(encode_text(message), TextLimits()) == message


@given(messages(), st.text(max_size=8), integers)
def test_a_field_that_the_protocol_does_not_know_is_refused(
    message: ClientMessage, name: str, value: int
) -> None:
    body = json.loads(encode_text(message))
    if name in body:
        name += "_unknown"
    with pytest.raises(ProtocolError):
        decode_text(json.dumps({**body, name: value}), TextLimits())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed"),
        ("[" * 5_000, "malformed"),
        ('{"type": "ask", "text": NaN}', "malformed"),
        ('{"type": "ask", "text": "\\ud800 who"}', "malformed"),
        ('{"type": "ask", "text": "  "}', "malformed"),
        ('{"type": "ask", "text": "' + "a" * 2_001 + '"}', "too_long"),
        ('{"type": "ask", "text": "' + "é" * 9_000 + '"}', "too_large"),
        ('{"type": "playout", "generation": true, "samples": 0}', "malformed"),
        ('{"type": "playout", "generation": 1e3, "samples": 0}', "malformed"),
        ('{"type": "ping", "id": 9007199254740993}', "malformed"),
        ('{"type": "shutdown"}', "unsupported"),
        ('{"type": "hello", "protocol": 2}', "unsupported"),
    ],
)
def test_what_is_wrong_with_a_text_is_named(text: str, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_text(text, TextLimits())
    assert caught.value.code == code


@given(
    st.integers(0, (1 << 32) - 1),
    st.integers(-LONGEST_PTS_US, LONGEST_PTS_US),
    st.lists(st.integers(-32767, 32767), min_size=1, max_size=200),
)
def test_sound_is_read_as_it_was_written(sequence: int, pts_us: int, levels: list[int]) -> None:
    samples = (np.array(levels) / 32768).astype(np.float32)
    read = decode_media(encode_media(PcmMessage(sequence, pts_us, samples)), MediaLimits())
    assert isinstance(read, PcmMessage)
    assert (read.sequence, read.pts_us) == (sequence, pts_us)
    np.testing.assert_allclose(read.samples, samples, atol=1 / 32768)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 99))
def test_a_picture_is_handed_on_byte_for_byte(data: bytes, sequence: int) -> None:
    read = decode_media(encode_media(PictureMessage(sequence, 5, data)), MediaLimits())
    assert isinstance(read, PictureMessage)
    assert (read.sequence, read.pts_us, read.data) == (sequence, 5, data)


@given(
    st.integers(0, (1 << 32) - 1),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.integers(0, (1 << 32) - 1),
    st.booleans(),
    st.integers(0, 50),
)
def test_an_answers_sound_carries_whose_it_is(
    generation: int, utterance: int, first: int, last: bool, count: int
) -> None:
    samples = np.linspace(-1, 1, count, dtype=np.float32)
    data = encode_answer_audio(generation, utterance, first, 77, samples, last=last)
    read = decode_answer_audio(data)
    assert (read.generation, read.utterance, read.first_sample) == (generation, utterance, first)
    assert (read.pts_us, read.last) == (77, last)
    np.testing.assert_allclose(read.samples, samples, atol=2 / 32768)


def test_payloads_beyond_their_limit_are_refused() -> None:
    limits = MediaLimits(pcm_bytes=64, picture_bytes=100)
    sound = PcmMessage(1, 0, np.zeros(33, np.float32))
    for message in (sound, PictureMessage(1, 0, bytes(101))):
        with pytest.raises(ProtocolError) as caught:
            decode_media(encode_media(message), limits)
        assert caught.value.code == "too_large"
        assert caught.value.fatal


def test_whatever_bytes_come_the_decoders_refuse_or_understand_them() -> None:
    """Random bytes, and valid messages with bytes changed, cut off or added."""
    rng = random.Random(7)
    limits, texts = MediaLimits(pcm_bytes=64, picture_bytes=64), TextLimits(message_bytes=256)
    valid = [
        encode_media(PcmMessage(3, 9, np.zeros(8, np.float32))),
        encode_media(PictureMessage(4, 10, b"\xff\xd8jpeg")),
        *(encode_text(m).encode() for m in (Hello(1), AskMessage("who is there"))),
    ]
    refused = 0
    for _ in range(FUZZED):
        data = bytearray(rng.choice(valid) if rng.random() < 0.8 else rng.randbytes(40))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
        try:
            if rng.random() < 0.5:
                message = decode_media(bytes(data), limits)
                assert len(data) <= IN_HEADER.size + 64
                assert abs(message.pts_us) <= LONGEST_PTS_US
            else:
                said = decode_text(data.decode("utf-8", "surrogateescape"), texts)
                assert decode_text(encode_text(said), texts) == said
        except ProtocolError as error:
            assert error.code in CODES
            refused += 1
    assert FUZZED * 0.5 < refused < FUZZED * 0.98


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | integers | words,
        lambda v: st.lists(v) | st.dictionaries(words, v),
        max_leaves=6,
    )
)
def test_any_json_is_refused_or_a_message(value: object) -> None:
    try:
        message = decode_text(json.dumps(value), TextLimits())
    except ProtocolError:
        return
    assert isinstance(message, ClientMessage)
