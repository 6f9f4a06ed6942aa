"""The service as a whole: opens the pack, warms it up, serves, and drains when it is told to stop.

It decides nothing about a session.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, FitError, OmniLiveError, SetupError
from omnilive.plan.verdict import how_to_mend, judge, shortage
from omnilive.realtime import with_measured_threads
from omnilive.service.access import is_loopback, read_token
from omnilive.service.admission import sessions_that_fit
from omnilive.service.app import Served, make_app
from omnilive.service.backoff import Backoff
from omnilive.service.door import Door, make_runner
from omnilive.service.live_session import LiveSession, SessionNames
from omnilive.service.metrics import Metrics
from omnilive.service.pull_guard import check_pull
from omnilive.service.sessions import FullError, Sessions
from omnilive.service.watchdog import keep_watch, lanes_of
from omnilive.systemd import notify, watchdog_s

HEALTHY_S = 60.0
"""A session of the service's own that lasted so long had been healthy: its failures count anew,
seconds."""

log = logging.getLogger(__name__)

Say = Callable[[str], None]


async def serve(config: RuntimeConfig, say: Say) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        config: of the service and of every session.
        say: takes a line for the terminal or the journal.

    Raises:
        OmniLiveError: it cannot start.
    """
    service = config.service
    token = read_token(service)
    tls = _tls(config)
    config = await asyncio.to_thread(with_measured_threads, config)
    loop = asyncio.get_running_loop()
    notify("STATUS=opening the engine pack")
    pack, capacity = await asyncio.to_thread(_open, config)
    warm = asyncio.Event()
    metrics = Metrics(
        lambda: len(sessions), lambda: sum(s.outbox.unsent_bytes for s in sessions.all())
    )

    def make(names: SessionNames, folder: Path) -> LiveSession:
        session = LiveSession(names, pack, config, service.preset, folder, loop)
        session.listen(metrics.listener())
        return session

    def pull(session: LiveSession, url: str) -> None:
        check = partial(check_pull, config=config.client, on_loopback=is_loopback(service.host))
        if url:
            check(url)
        session.pull([url] if url else [], check)

    sessions = Sessions(service, capacity, Path(service.state), make)
    served = Served(service, config.client, token, sessions, metrics, warm.is_set, pull)
    runner = make_runner(make_app(served))
    await runner.setup()
    assert runner.server is not None
    door = Door(runner.server, config.client, tls)
    try:
        try:
            await door.open(service.host, service.port)
        except OSError as e:
            raise SetupError(
                f"cannot be listened on ({e.strerror or e})",
                where=f"{service.host}:{service.port}",
                mend="Stop what listens there, or set service.port.",
            ) from e
        scheme = "https" if tls else "http"
        stop = asyncio.Event()
        stop_on_signals(loop, stop)
        notify("STATUS=warming up")
        await asyncio.to_thread(pack.warm_up)
        warm.set()
        notify("READY=1", f"STATUS=ready for {sessions.capacity} sessions")
        say(f"ready at {scheme}://{service.host}:{door.port}/ for {sessions.capacity} sessions")
        watching = [
            asyncio.ensure_future(_watch_own(sessions, service.source.split())),
            asyncio.ensure_future(_watch_lanes(sessions)),
        ]
        await stop.wait()
        for watch in watching:
            watch.cancel()
        notify("STOPPING=1", "STATUS=letting answers end")
        say("stopping: letting answers end")
        await sessions.drain()
    finally:
        await door.close()
        await runner.cleanup()
        if not len(sessions):  # else one hangs in an engine, which ends with the process
            await asyncio.to_thread(pack.close)


async def _watch_own(sessions: Sessions, addresses: list[str]) -> None:
    """Keep a session of the service's own on its configured source; begin anew when it fails."""
    backoff, failures, rng = Backoff(), 0, random.Random()
    now_s = asyncio.get_running_loop().time
    while addresses:
        began_s = now_s()
        try:
            session = sessions.begin_own()
            session.pull(addresses)
            await session.ended.wait()
        except (OmniLiveError, FullError) as error:
            log.error("the session of service.source cannot begin: %s", error)
        failures = 1 if now_s() - began_s >= HEALTHY_S else failures + 1
        await asyncio.sleep(backoff.wait_s(failures, rng))


async def _watch_lanes(sessions: Sessions) -> None:
    """Ping the service manager's watchdog, where it has one, while every lane gets on."""
    within_s = watchdog_s()
    if within_s is not None:
        await keep_watch(within_s, lambda: lanes_of({s.names.id: s for s in sessions.all()}))


def stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set ``stop`` on the first SIGTERM or SIGINT; a second one ends the process at once."""
    numbers = (signal.SIGTERM, signal.SIGINT)

    def begin() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, begin)


def _open(config: RuntimeConfig) -> tuple[EnginePack, int]:
    """The pack, and how many sessions fit beside its weights."""
    if not config.service.pack:
        raise ConfigError(
            "is empty", where="service.pack", mend="Name an engine pack there or with --pack."
        )
    pack = open_pack(Path(config.service.pack), config=config.engine, rebuild=config.rebuild)
    verdict = judge(pack.manifest, config)
    capacity = sessions_that_fit(verdict.plan, verdict.limits)
    if capacity < 1:
        raise FitError(
            shortage(verdict), where=f"engine pack {pack.manifest.name}", mend=how_to_mend(verdict)
        )
    return pack, capacity


def _tls(config: RuntimeConfig) -> ssl.SSLContext | None:
    """What HTTPS is spoken with; None for HTTP."""
    service = config.service
    if not service.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(service.tls_certificate, service.tls_key)
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(
            f"cannot be used ({e.strerror or e})",
            where=service.tls_certificate,
            mend="service.tls_certificate and tls_key are PEM files that belong together.",
        ) from e
    return context
