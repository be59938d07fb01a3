"""Where records come in: the intake socket, the HTTP socket, and HTTP on loopback TCP."""

import socket

from swt3_agent.config import Config
from swt3_agent.daemon.http_server import HttpServer
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.sockets import Sockets, tenant_socket
from swt3_agent.relay.counters import IntakeCounters, total
from swt3_agent.relay.http_app import MAX_BODY_BYTES, DayLookups, HttpIntake
from swt3_agent.relay.http_guard import Guard
from swt3_agent.relay.intake import IntakeServer, Listener
from swt3_agent.relay.sentinel import SentinelSettings
from swt3_agent.relay.sink import RecordSink


class Listeners:
    """All listeners of a node; ``start`` and ``stop`` them in one event loop.

    ``counters`` are theirs, by the name that is in their records' provenance.
    """

    def __init__(self, node: Node, sockets: Sockets, sink: RecordSink) -> None:
        """Raises ConfigError for a tool policy that cannot be meant."""
        config = node.config
        self._log = NodeLog(node)
        tenants = {one.name: one.tenant for one in config.listeners}
        self._intakes: list[IntakeServer] = []
        self.counters: dict[str, IntakeCounters] = {}

        def take(name: str, tenant: str, listener: Listener) -> None:
            server = IntakeServer(
                listener.path,
                sink,
                tenant=tenant,
                clearing_level=config.clearing_level,
                drop_guardrail_names=config.clearing.drop_guardrail_names,
                listener=name,
                sentinel=self._sentinel(config, tenant),
                inherited=listener.socket,
            )
            self.counters[name] = server.counters
            self._intakes.append(server)

        take("intake", config.tenant, sockets.intake)
        for name, listener in sockets.tenants.items():
            take(tenant_socket(name), tenants[name], listener)
        self._http: list[tuple[HttpIntake, HttpServer]] = []
        days = DayLookups(node.days.root, node.days.proof)

        def serve(name: str, sock: socket.socket, guard: Guard) -> None:
            intake = HttpIntake(
                sink,
                listener=name,
                tenant=config.tenant,
                clearing_level=config.clearing_level,
                drop_guardrail_names=config.clearing.drop_guardrail_names,
                guard=guard,
                days=days,
            )
            server = HttpServer(intake.app, sock, name=name, max_body_bytes=MAX_BODY_BYTES)
            self.counters[name] = intake.counters
            self._http.append((intake, server))

        if sockets.http is not None:
            serve("http", sockets.http.socket, Guard())
        if sockets.http_tcp is not None:
            serve("http-tcp", sockets.http_tcp, Guard(sockets.http_token))

    def _sentinel(self, config: Config, tenant: str) -> SentinelSettings:
        signing = config.signing if tenant == config.tenant else None  # the key is one tenant's
        return SentinelSettings(config.tools, signing, config.agent_id, self._log)

    def reconfigure(self, config: Config) -> None:
        """Hold what arrives from now on to ``config``; call it in the loop that serves.

        A clearing level is never lowered. Raises ConfigError for a tool policy that cannot be
        meant, and then changes nothing.
        """
        for server in self._intakes:  # they refuse alike, so the first one does
            sentinel = self._sentinel(config, server.tenant)
            server.reconfigure(config.clearing_level, sentinel)
        for intake, _ in self._http:
            intake.raise_level(config.clearing_level)

    def total(self) -> IntakeCounters:
        """What all of them took and refused, as of now."""
        return total(self.counters.values())

    async def start(self) -> None:
        """Take records from now on."""
        for listener in self._intakes:
            await listener.start()
        for intake, server in self._http:
            intake.start()
            await server.start()

    async def stop(self) -> None:
        """Take nothing more, answer what is under way, and close."""
        for listener in self._intakes:
            await listener.stop()
        for intake, server in self._http:
            await server.stop()
            intake.close()


class NodeLog:
    """The log as sentinel clients are told of it (`relay.sentinel.LogView`)."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def newest(self) -> int:
        """The number of the newest durable record; -1 where there is none."""
        return self._node.journal.size - 1

    @property
    def covered(self) -> int:
        """The number of the newest record that a head covers; -1 where there is none."""
        head = self._node.heads.latest
        return -1 if head is None else head.note.size - 1

    @property
    def root(self) -> str | None:
        """The root of the newest head, in hex."""
        head = self._node.heads.latest
        return None if head is None else head.note.root.hex()
