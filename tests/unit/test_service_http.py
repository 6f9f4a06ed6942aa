"""The routes beside the WebSocket: OpenAI's client, metrics, memory, the page and its headers."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp.test_utils import TestClient

from omnilive import events
from omnilive.service.config import ClientConfig, ServiceConfig
from service_fakes import PROMPT_TOKENS, FakeSession, Service, answer, connect, running

TOKEN = "a-token-of-some-length"
WORDS = ["the ", "red ", "mug"]


def serve(
    folder: Path, act: Callable[[Service, TestClient], Awaitable[Any]], **options: Any
) -> Any:
    async def run() -> Any:
        made = Service(folder, ServiceConfig(sessions_per_client=9), ClientConfig(), **options)
        async with running(made) as http:
            return await act(made, http)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def session_of(service: Service, http: TestClient) -> FakeSession:
    """A session that answers every question with WORDS."""
    await (await connect(http)).receive_json()
    session = service.made[-1]
    session.answer_to = lambda utterance, text: answer(utterance, WORDS)
    return session


def client_of(http: TestClient, token: str = "none") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=str(http.make_url("/v1")), api_key=token, max_retries=0)


QUESTION: Any = [
    {"role": "system", "content": "ignored"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": [{"type": "text", "text": "what is on the table"}]},
]


def test_openais_client_gets_a_whole_answer(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        done = await client_of(http).chat.completions.create(model="omnilive", messages=QUESTION)
        assert done.choices[0].message.content == "the red mug"
        assert done.choices[0].finish_reason == "stop"
        assert done.usage is not None
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (PROMPT_TOKENS, 3)
        assert done.usage.total_tokens == PROMPT_TOKENS + 3
        assert session.calls[-1] == ("ask", "what is on the table")

    serve(tmp_path, act)


def test_openais_client_gets_an_answer_as_it_is_decoded(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        await session_of(service, http)
        stream = await client_of(http, TOKEN).chat.completions.create(
            model="omnilive",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        texts = [c.choices[0].delta.content for c in chunks if c.choices]
        assert [t for t in texts if t] == WORDS
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 3

    serve(tmp_path, act)


def test_an_answer_that_goes_on_after_an_interruption_is_given_once(tmp_path: Path) -> None:
    def interrupted(utterance: int, text: str) -> list[events.Event]:
        whole = answer(utterance, WORDS)
        again = [dataclasses.replace(event, generation=2) for event in whole[1:]]
        return [*whole[:2], events.AnswerResumed(utterance, 2, 1, "the", 1), *again]  # type: ignore[list-item]

    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        session.answer_to = interrupted
        done = await client_of(http).chat.completions.create(model="omnilive", messages=QUESTION)
        assert done.choices[0].message.content == "the red mug"
        assert done.usage is not None
        assert done.usage.completion_tokens == 3

    serve(tmp_path, act)


def test_with_several_sessions_the_request_names_one(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        first, second = await session_of(service, http), await session_of(service, http)
        client = client_of(http)
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="omnilive", messages=QUESTION)
        assert caught.value.code == "no_session"
        await client.chat.completions.create(
            model="omnilive", messages=QUESTION, extra_body={"session": second.names.id}
        )
        assert (first.asked, second.asked) == (0, 1)

    serve(tmp_path, act)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (lambda u: events.Unanswered(u, 1, "too_long"), "context_length_exceeded"),
        (lambda u: events.Unanswered(u, 1, "superseded"), "superseded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_question_without_an_answer_is_an_error_of_openais_form(
    tmp_path: Path, outcome: Callable[[int], events.Event], code: str, stream: bool
) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        session.answer_to = lambda utterance, text: [outcome(utterance)]
        with pytest.raises(openai.ConflictError) as caught:
            await client_of(http).chat.completions.create(
                model="omnilive", messages=QUESTION, stream=stream
            )
        assert caught.value.code == code

    serve(tmp_path, act)


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        "{}",
        '{"messages": []}',
        '{"messages": [{"role": "user", "content": 7}]}',
        '{"messages": [{"role": "user", "content": "a"}], "stream": "yes"}',
        '{"messages": [{"role": "user", "content": "' + "a" * 2_001 + '"}]}',
    ],
)
def test_a_request_of_another_form_is_refused(tmp_path: Path, body: str) -> None:
    async def act(service: Service, http: TestClient) -> None:
        await session_of(service, http)
        headers = {"Content-Type": "application/json"}
        response = await http.post("/v1/chat/completions", data=body, headers=headers)
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"
        assert service.made[0].asked == 0

    serve(tmp_path, act)


def test_metrics_count_what_sessions_do(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> str:
        session = await session_of(service, http)
        session.now_us = 3_000_000
        session.say(events.FrameEncoded(1_500_000, 0, None, "kf-1"))
        session.say(events.SpeechEnded(1, 1, 0, 2_000_000, 32_000, False))
        session.say(events.TokenDecoded(1, 1, 0, "the"))
        session.say(events.Unanswered(2, 2, "filler"))
        return await (await http.get("/metrics")).text()

    text = serve(tmp_path, act)
    assert 'omnilive_answer_seconds_bucket{le="1.0",stage="first_token"} 1.0' in text
    assert 'omnilive_answer_seconds_bucket{le="0.75",stage="first_token"} 0.0' in text
    assert 'omnilive_utterances_total{outcome="unanswered_filler"} 1.0' in text
    assert "omnilive_frame_lag_seconds_sum 1.5" in text
    assert "omnilive_sessions 1.0" in text


def test_memory_tells_clips_and_what_answers_used(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        session = await session_of(service, http)
        session.say(events.FrameEncoded(0, 0, None, "kf-000000000000000"))
        session.say(events.ClipClosed(0, 0, 900_000, 1, "cut"))
        used = events.EvidenceChosen(
            -1, 1, ("kf-000000000000000",), 1, 2, 3, 4, 9, "", 1.0, (0,), 0
        )
        session.say(used)
        session.say(events.AnswerResumed(-1, 2, 1, "the", 1))
        session.say(events.SceneRefreshed(-1, 2, 3, 0.5, ("kf-000000000000001",), 5, 9))
        keyframes = session.folder / "keyframes"
        keyframes.mkdir(parents=True)
        (keyframes / "kf-000000000000000.jpg").write_bytes(b"picture")
        (session.folder / "secret.jpg").write_bytes(b"secret")
        base = f"/v1/sessions/{session.names.id}"
        memory = await (await http.get(f"{base}/memory")).json()
        assert memory["clips"][0]["keyframes"] == ["kf-000000000000000"]
        assert [answer["clips"] for answer in memory["answers"]] == [[0], [0]]
        assert [answer["keyframes"] for answer in memory["answers"]] == [
            ["kf-000000000000000"],
            ["kf-000000000000000", "kf-000000000000001"],
        ]
        picture = await http.get(f"{base}/keyframes/kf-000000000000000")
        assert await picture.read() == b"picture"
        for name in ("..%2Fsecret", "%2e%2e%2fsecret", "kf-000000000000001", "."):
            assert (await http.get(f"{base}/keyframes/{name}")).status == 404
        listed = await (await http.get("/v1/sessions")).json()
        assert listed["sessions"][0]["id"] == session.names.id
        assert session.names.token not in str(listed)

    serve(tmp_path, act)


def test_pages_of_other_origins_can_neither_ask_nor_read(tmp_path: Path) -> None:
    """Neither by a form's kind of request nor by a name that was made to point here."""

    async def act(service: Service, http: TestClient) -> None:
        await session_of(service, http)
        body = {"messages": QUESTION}
        foreign = {"Origin": "http://elsewhere.example"}
        rebound = {"Host": "elsewhere.example", **foreign}
        post = partial(http.post, "/v1/chat/completions")
        assert (await post(json=body, headers=foreign)).status == 403
        assert (await post(json=body, headers=rebound)).status == 403
        as_text = {"Content-Type": "text/plain"}
        assert (await post(data=json.dumps(body), headers=as_text)).status == 415
        for path in ("/v1/sessions", "/v1/live", "/"):
            assert (await http.get(path, headers={"Host": "elsewhere.example"})).status == 403
        assert service.made[0].asked == 0
        own = {"Origin": f"http://127.0.0.1:{http.port}"}
        assert (await post(json=body, headers=own)).status == 200

    serve(tmp_path, act)


def test_with_a_token_any_host_name_is_answered_to(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        headers = {"Host": "camera.example", "Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/v1/sessions", headers=headers)).status == 200

    serve(tmp_path, act, token=TOKEN)


def test_everything_but_the_page_and_the_probes_needs_the_token(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        for path in ("/metrics", "/v1/sessions", "/v1/sessions/x/memory", "/v1/none"):
            assert (await http.get(path)).status == 401
        assert (await http.post("/v1/chat/completions", json={})).status == 401
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/v1/sessions", headers=shown)).status == 200
        for path in ("/", "/live", "/ready"):
            assert (await http.get(path)).status == 200

    serve(tmp_path, act, token=TOKEN)


def test_the_page_and_every_file_it_names_come_with_a_strict_policy(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        page = await http.get("/")
        html = await page.text()
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=", html)
        seen, waiting = set(), set(re.findall(r'(?:href|src)="(page/[^"]+)"', html))
        while waiting:
            name = waiting.pop()
            seen.add(name)
            response = await http.get("/" + name)
            assert response.status == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            found = re.findall(r'"\./([\w-]+\.js)"|"(page/[\w-]+\.js)"', await response.text())
            waiting |= {whole or f"page/{part}" for part, whole in found} - seen
        assert {"page/main.js", "page/player-worklet.js", "page/capture-worklet.js"} <= seen
        for path in ("/page/../config.py", "/page/none.js", "/page/__init__.py"):
            assert (await http.get(path)).status == 404

    serve(tmp_path, act)


def test_a_small_body_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    async def act(service: Service, http: TestClient) -> None:
        await session_of(service, http)
        bomb = gzip.compress(bytes(64 << 20))
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        answer = await http.post("/v1/chat/completions", data=bomb, headers=headers)
        assert answer.status == 413
        assert (await http.get("/live")).status == 200

    serve(tmp_path, act)
