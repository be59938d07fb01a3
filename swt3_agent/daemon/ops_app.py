"""Health and metrics over HTTP: /healthz, /readyz, /metrics (docs/operations.md).

The Unix socket is the operators' own and tells them everything. On TCP any user of this machine
may ask: there, at the clearing levels that keep hardware to the node (2 and 3), reasons are codes
and the accelerators are not named.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from swt3_agent import __version__
from swt3_agent.collect.gpu.collector import GpuCollector
from swt3_agent.daemon.http_server import HttpServer
from swt3_agent.daemon.metrics import registry
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.readiness import readiness_view
from swt3_agent.daemon.sockets import Sockets
from swt3_agent.daemon.times import iso_time
from swt3_agent.errors import AgentError
from swt3_agent.protocol.appraisal import Outcome
from swt3_agent.relay.counters import IntakeCounters
from swt3_agent.relay.http_guard import turns_page_away

PRIVATE_LEVEL = 2
"""From this clearing level on what AI-HW.1 says of the hardware stays on the node."""
_OPENMETRICS = "application/openmetrics-text"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def ops_app(node: Node, intakes: Sequence[IntakeCounters], *, public: bool) -> Starlette:
    """The application for one listener; ``public``: whoever is on this machine may ask."""
    metrics = registry(node, intakes)

    # Plain functions: Starlette runs them in threads, for a slow disk must not stop the intake.
    def healthz(_: Request) -> Response:
        discreet = public and node.config.clearing_level >= PRIVATE_LEVEL
        return JSONResponse(health_view(node, discreet=discreet), headers=_HEADERS)

    def readyz(_: Request) -> Response:
        discreet = public and node.config.clearing_level >= PRIVATE_LEVEL
        view = readiness_view(node, discreet=discreet)
        return JSONResponse(view, 200 if view["ready"] else 503, headers=_HEADERS)

    def show_metrics(request: Request) -> Response:
        if _OPENMETRICS in request.headers.get("accept", ""):
            encode: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
            kind = openmetrics.CONTENT_TYPE_LATEST
        else:
            encode, kind = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return Response(encode(metrics), headers={**_HEADERS, "Content-Type": kind})

    def guarded(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def guard(request: Request) -> Response:
            turned = turns_page_away(request.headers, on_tcp=public)
            if turned is not None:
                return JSONResponse({"error": turned.error}, turned.status, headers=_HEADERS)
            return answer(request)

        return guard

    app = Starlette(
        routes=[
            Route("/healthz", guarded(healthz), methods=["GET"]),
            Route("/health", guarded(healthz), methods=["GET"]),
            Route("/readyz", guarded(readyz), methods=["GET"]),
            Route("/metrics", guarded(show_metrics), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


def ops_servers(
    node: Node, sockets: Sockets, intakes: Sequence[IntakeCounters]
) -> list[HttpServer]:
    """A server for each ops socket that is open; start and stop them."""
    servers = []
    if sockets.ops is not None:
        app = ops_app(node, intakes, public=False)
        servers.append(HttpServer(app, sockets.ops.socket, name="ops"))
    if sockets.ops_tcp is not None:
        app = ops_app(node, intakes, public=True)
        servers.append(HttpServer(app, sockets.ops_tcp, name="ops-tcp"))
    return servers


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  that is what it is registered for
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def health_view(node: Node, *, discreet: bool) -> dict[str, Any]:
    """The keys of docs/protocol.md 17; ``discreet`` leaves null what names the hardware."""
    connected = node.config.ledger is not None
    hardware: Mapping[str, object] = {} if discreet else _hardware(node)
    last_ms = max((run.utc_ms for run in list(node.last_runs.values())), default=None)
    return {
        "status": "ok",
        "version": __version__,
        "mode": "cloud" if connected else "local",
        "last_attestation": None if last_ms is None else iso_time(last_ms),
        "silicon_vendor": hardware.get("silicon_vendor"),
        "topology": hardware.get("topology"),
        "accelerator_count": hardware.get("accelerator_count"),
        "gpu_count": hardware.get("gpu_count"),
        "pending": _pending(node) if connected else 0,
    }


def _pending(node: Node) -> int | None:
    """Records that wait for the ledger; None where the log cannot be read, which /readyz says."""
    try:
        return node.settlements.backlog().records
    except AgentError:
        return None


def _hardware(node: Node) -> Mapping[str, object]:
    """What the last AI-HW.1 says in its context; empty where none was read."""
    run = node.last_runs.get(GpuCollector.name)
    if run is None or not run.attestations:
        return {}
    appraisal = run.attestations[0].appraisal
    if appraisal.outcome is Outcome.ABSENT:  # looked for, and there is none
        return {"accelerator_count": 0, "gpu_count": 0}
    return appraisal.context
