"""The POST to a ledger: one batch, one answer (docs/protocol.md 5.1).

The bearer token goes to the configured address and nowhere else: no redirect is followed, and
neither proxies nor netrc files of the environment are heeded.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from types import TracebackType

import httpx

from swt3_agent.errors import ConfigError
from swt3_agent.protocol.evidence import Reason
from swt3_agent.relay.delivery.address import Address
from swt3_agent.relay.delivery.answers import Keep, Outcome, decide
from swt3_agent.relay.delivery.batches import Item

PATH = "/api/v1/witness/batch"
MAX_ANSWER_BYTES = 8 * 1024 * 1024
_REPLACEMENT = b"[removed]"


class HttpLedger:
    """A ledger over HTTP/1.1, one connection for each POST; use it as a context manager."""

    def __init__(self, address: Address) -> None:
        """Raises ConfigError: ``LEDGER_ADDRESS``, ``LEDGER_KEY`` (neither shows the key), or
        ``LEDGER_TLS_FILES`` where a certificate or key cannot be used."""
        self._address = address
        self._url = _url(address.endpoint)
        self._secret = _token(address.api_key)
        self._headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {address.api_key}",
            "Connection": "close",
        }
        # No client around it: that would keep cookies, and prepare to follow redirects.
        self._transport = httpx.AsyncHTTPTransport(verify=_tls(address), trust_env=False)

    async def __aenter__(self) -> "HttpLedger":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def post(self, body: bytes, items: Sequence[Item]) -> Outcome:
        """Send ``body``, which holds ``items``, and say what became of it. Raises nothing."""
        try:
            exchange = self._exchange(body)
            status, headers, answer = await asyncio.wait_for(exchange, self._address.timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            what = f"the ledger did not answer within {self._address.timeout_s:g} s"
            remedy = "it is tried again; where the way is slow: smaller `agent.ledger.batch_bytes`"
            return Keep(Reason("LEDGER_TIMEOUT", what, remedy))
        except (httpx.HTTPError, OSError, ValueError) as error:
            return Keep(_unreachable(error))
        if len(answer) > MAX_ANSWER_BYTES:
            what = f"the ledger's answer is longer than {MAX_ANSWER_BYTES} bytes"
            return Keep(Reason("LEDGER_BAD_ANSWER", what, "ask the ledger's operators"))
        answer = answer.replace(self._secret, _REPLACEMENT)  # should it be echoed
        return decide(status, headers, answer, items, datetime.now(timezone.utc))

    async def _exchange(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, of which no more is read than may be."""
        request = httpx.Request("POST", self._url, headers=self._headers, content=body)
        response = await self._transport.handle_async_request(request)
        try:
            answer = bytearray()
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    break
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return response.status_code, headers, bytes(answer)


_TRIED_AGAIN = "none: it is tried again"


def _url(endpoint: str) -> httpx.URL:
    try:
        url = httpx.URL(endpoint.rstrip("/") + PATH)
    except (httpx.InvalidURL, ValueError) as error:
        raise _bad_address(str(error)) from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise _bad_address("it is not http(s)://HOST[:PORT][/PATH]")
    return url


def _bad_address(why: str) -> ConfigError:
    return ConfigError(
        "LEDGER_ADDRESS", f"the ledger's endpoint cannot be used: {why}", remedy="mend `endpoint`"
    )


def _token(api_key: str) -> bytes:
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ConfigError(
            "LEDGER_KEY",
            "the ledger's API key is empty or has characters that no key has",
            remedy="give the key as it was issued",
        )
    return api_key.encode()


def _tls(address: Address) -> ssl.SSLContext:
    """How servers prove who they are, and how we do."""
    try:
        context = ssl.create_default_context(cafile=address.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if address.certificate is not None:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(address.certificate, address.key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            "LEDGER_TLS_FILES",
            f"the certificates for the ledger cannot be used: {error}",
            remedy="check `agent.ledger`: `ca`, `certificate` and `key` are PEM files that the"
            " agent's user may read; keys are not encrypted",
        ) from error
    return context


def _unreachable(error: Exception) -> Reason:
    """Why there was no answer: name, certificate, connection, or what came was no HTTP."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            remedy = "check `agent.ledger.ca`, the certificates and this machine's clock"
            return Reason("LEDGER_TLS", f"no secure connection to the ledger: {cause}", remedy)
        if isinstance(cause, socket.gaierror):
            remedy = "check `endpoint` and this machine's name resolution"
            return Reason("LEDGER_NAME", f"the ledger's name is not known: {cause}", remedy)
    if isinstance(error, httpx.ConnectError):
        remedy = "check `endpoint` and the way there; it is tried again"
        return Reason("LEDGER_UNREACHABLE", f"no connection to the ledger: {error}", remedy)
    what = f"the connection to the ledger broke: {error or type(error).__name__}"
    return Reason("LEDGER_BROKE_OFF", what, _TRIED_AGAIN)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
