"""HTTPS with the certificates the installer makes: for who trusts their CA, and nobody else."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import stat
import subprocess
from pathlib import Path

import aiohttp
import pytest
from serving import service
from talking import talking

from omnilive.cli.main import main
from omnilive.errors import ConfigError

CERTIFICATES = Path(__file__).resolve().parents[2] / "deploy_jetson" / "certificates.sh"

LAN_ADDRESS, LAN_NAME = "10.1.2.3", "omni.example"

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl: apt-get install openssl"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``install.sh --tls --name omni.example --name 10.1.2.3`` leaves."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([CERTIFICATES, folder, LAN_NAME, LAN_ADDRESS], check=True, timeout=60)
    return folder


def names(certificates: Path) -> dict[str, list[str]]:
    """The names and the addresses that the certificate is for, this machine's among them."""
    found: dict[str, list[str]] = {"DNS": [], "IP": []}
    for entry in (certificates / "names").read_text(encoding="utf-8").strip().split(","):
        kind, name = entry.split(":", 1)
        found[kind].append(name)
    return found


async def shake_hands(url: str, name: str, trust: ssl.SSLContext) -> None:
    """Connect as to a host of that name or address."""
    port = int(url.rsplit(":", 1)[1].strip("/"))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
    writer.close()
    await writer.wait_closed()


def test_who_trusts_the_ca_gets_page_and_answers_by_every_name_and_others_nothing(
    micro_pack: Path, certificates: Path, tmp_path: Path
) -> None:
    own = f'tls_certificate = "{certificates}/server.pem"\ntls_key = "{certificates}/server.key"'
    trust = ssl.create_default_context(cafile=certificates / "ca.pem")
    named = names(certificates)
    assert LAN_NAME in named["DNS"] and LAN_ADDRESS in named["IP"]

    async def visit() -> None:
        async with service(micro_pack, tmp_path / "state", own=own) as running:
            assert running.url.startswith("https://")
            connector = aiohttp.TCPConnector(ssl=trust)
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                http.get(running.url) as page,
            ):
                assert page.status == 200 and "<html" in await page.text()
            async with talking(running.url, trust=trust) as talk:
                assert await talk.ask("what do you see")
                assert talk.audio
            for name in (*named["DNS"], *named["IP"]):
                await shake_hands(running.url, name, trust)

            for name in ("elsewhere.example", "10.1.2.4"):
                with pytest.raises(ssl.SSLCertVerificationError, match=r"mismatch|not valid for"):
                    await shake_hands(running.url, name, trust)
            with pytest.raises(ssl.SSLCertVerificationError, match=r"local issuer|self.signed"):
                await shake_hands(running.url, LAN_NAME, ssl.create_default_context())
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                async with talking(running.url):
                    pass
            plain = running.url.replace("https:", "http:")
            async with aiohttp.ClientSession() as http:
                with pytest.raises(aiohttp.ClientError):
                    await http.get(plain)

    asyncio.run(asyncio.wait_for(visit(), 120))


def test_no_key_can_be_read_by_others_and_the_ca_outlives_its_certificate(
    certificates: Path,
) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in certificates.iterdir()}
    assert modes.pop("ca.key") == modes.pop("server.key") == 0o600
    assert set(modes) == {"ca.pem", "server.pem", "names"}
    authority = (certificates / "ca.pem").read_bytes()
    server = (certificates / "server.pem").read_bytes()
    for more, changed in (((), False), (("further.example",), True)):
        command = [CERTIFICATES, certificates, LAN_NAME, LAN_ADDRESS, *more]
        subprocess.run(command, check=True, timeout=60)
        assert ((certificates / "server.pem").read_bytes() != server) == changed
        assert (certificates / "ca.pem").read_bytes() == authority


def test_a_key_of_another_certificate_is_named_before_the_pack_is_opened(
    certificates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "omnilive.toml"
    file.write_text(
        f'[service]\ntls_certificate = "{certificates}/server.pem"\n'
        f'tls_key = "{certificates}/ca.key"\n',
        encoding="utf-8",
    )
    assert main(["serve", "--config", str(file), "--pack", "/none"]) == ConfigError.exit_code
    assert "belong together" in capsys.readouterr().err
