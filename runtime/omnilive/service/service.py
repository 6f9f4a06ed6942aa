"""The service as a whole: opens the pack, warms it up, serves, and drains when it is told to stop.

It decides nothing about a session.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from omnilive.config import RuntimeConfig
from omnilive.engine.pack import EnginePack, open_pack
from omnilive.errors import ConfigError, FitError, SetupError
from omnilive.plan.verdict import how_to_mend, judge, shortage
from omnilive.service.access import is_loopback, read_token
from omnilive.service.admission import sessions_that_fit
from omnilive.service.app import Served, make_app
from omnilive.service.live_session import LiveSession, SessionNames
from omnilive.service.metrics import Metrics
from omnilive.service.pull_guard import check_pull
from omnilive.service.sessions import Sessions
from omnilive.systemd import notify

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
    loop = asyncio.get_running_loop()
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
    runner = web.AppRunner(make_app(served), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, service.host, service.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as e:
            raise SetupError(
                f"cannot be listened on ({e.strerror or e})",
                where=f"{service.host}:{service.port}",
                mend="Stop what listens there, or set service.port.",
            ) from e
        port = runner.addresses[0][1]
        scheme = "https" if tls else "http"
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        notify("STATUS=warming up")
        await asyncio.to_thread(pack.warm_up)
        warm.set()
        notify("READY=1", f"STATUS=ready for {sessions.capacity} sessions")
        say(f"ready at {scheme}://{service.host}:{port}/ for {sessions.capacity} sessions")
        await stop.wait()
        notify("STOPPING=1", "STATUS=letting answers end")
        say("stopping: letting answers end")
        await sessions.drain()
    finally:
        await runner.cleanup()
        await asyncio.to_thread(pack.close)


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
