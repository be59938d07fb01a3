"""Whether the ledger can be reached; asked only where one is configured. Nothing is sent to it."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from swt3_agent.config import Ledger
from swt3_agent.daemon.doctor.finding import Finding, failure, good

TIMEOUT_S = 5.0


def check_ledger(ledger: Ledger, timeout_s: float = TIMEOUT_S) -> Iterator[Finding]:
    """Connect, and shake hands where it is HTTPS, with the authorities that the settings trust.

    Raises OSError where a file of the settings cannot be read.
    """
    subject = "ledger"
    url = urlsplit(ledger.endpoint)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    where = f"{host}:{port}"
    try:
        context = _context(ledger) if url.scheme == "https" else None
    except ssl.SSLError as error:
        detail = f"agent.ledger's ca, certificate or key is not usable: {error.reason or error}"
        yield failure(
            subject, "LEDGER_TLS", detail, "give PEM files, and the key of that certificate"
        )
        return
    except OSError as error:  # which does not say which of them
        files = "a file of agent.ledger (ca, certificate, key)"
        raise type(error)(error.errno, error.strerror, files) from error
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            if context is not None:
                with context.wrap_socket(connection, server_hostname=host) as secured:
                    yield good(subject, f"{where} answers, {secured.version()}")
            else:
                yield good(subject, f"{where} answers")
    except ssl.SSLCertVerificationError as error:
        remedy = "check agent.ledger.ca and the clock; never switch verification off"
        detail = f"{where} is not trusted: {error.verify_message}"
        yield failure(subject, "LEDGER_UNTRUSTED", detail, remedy)
    except ssl.SSLError as error:
        remedy = "check agent.ledger.ca, certificate and key, and what the ledger asks for"
        yield failure(subject, "LEDGER_TLS", f"no TLS with {where}: {error.reason}", remedy)
    except socket.gaierror as error:
        detail = f"{host} has no address: {error.strerror}"
        yield failure(subject, "LEDGER_UNKNOWN", detail, "check the endpoint and the name service")
    except (OSError, ValueError) as error:
        detail = f"{where} does not answer: {error}"
        yield failure(subject, "LEDGER_UNREACHABLE", detail, "check the network and its firewalls")


def _context(ledger: Ledger) -> ssl.SSLContext:
    settings = ledger.settings
    context = ssl.create_default_context(cafile=settings.ca)
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context
