"""Reads HTTP for FFmpeg, so that no redirect and no playlist leads where the client may not.

FFmpeg itself follows both to any host. Every URL opened here has passed the guard first.
"""

from __future__ import annotations

import http.client
import io
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from omnilive.service.faults import ProtocolError

Check = Callable[[str], None]
"""Takes a URL; raises ProtocolError when it may not be opened."""

SCHEMES = ("http", "https")
MOST_REDIRECTS = 5


class GuardedHttp:
    """Opens URLs one at a time; what ``Opening.open_nested`` takes. Runs in the reading thread.

    What cannot be read is empty to FFmpeg, and ``failure`` says why: FFmpeg asks for it several
    times, and keeps no reason.
    """

    def __init__(self, check: Check, timeout_s: float) -> None:
        """Let through what ``check`` does; give up on a server silent for ``timeout_s``."""
        self.failure = ""
        self._check = check
        self._timeout_s = timeout_s
        # No proxy of the environment: it would resolve the host in our place.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=ssl.create_default_context()),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _GuardedRedirects(check),
        ):
            self._opener.add_handler(handler)

    def __call__(self, url: str, flags: int, options: Mapping[str, str]) -> Any:
        """Open ``url`` for reading."""
        try:
            if urlsplit(url).scheme not in SCHEMES:
                raise ProtocolError("forbidden", "it leads to another scheme than HTTP")
            self._check(url)
            request = urllib.request.Request(url, headers={"User-Agent": "omnilive"})
            if options.get("offset", "0") != "0":
                end = int(options.get("end_offset", "0"))
                last = str(end - 1) if end else ""
                request.add_header("Range", f"bytes={int(options['offset'])}-{last}")
            response = self._opener.open(request, timeout=self._timeout_s)
        except ProtocolError as e:
            self.failure = e.what
        except urllib.error.HTTPError as e:
            self.failure = f"the server answers {e.code}"
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
            self.failure = "the server cannot be reached"
        else:
            return _Body(response, self)
        return io.BytesIO()


class _GuardedRedirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MOST_REDIRECTS

    def __init__(self, check: Check) -> None:
        self._check = check

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Body:
    """A response as FFmpeg reads it: what is there, never waiting for a whole buffer."""

    def __init__(self, response: Any, guard: GuardedHttp) -> None:
        self._response = response
        self._guard = guard

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end, or once the server has broken off."""
        try:
            data: bytes = self._response.read1(size)
        except (OSError, http.client.HTTPException):
            self._guard.failure = "the server broke off"
            return b""
        return data

    def close(self) -> None:
        """Hang up."""
        self._response.close()
