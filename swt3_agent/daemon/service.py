"""The daemon: intake, control, scheduled collection and heads around one Node, until stopped."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping

import sdnotify

from swt3_agent.config import Config
from swt3_agent.daemon.control import ControlServer
from swt3_agent.daemon.gaps import PERIOD_S, GapRecorder
from swt3_agent.daemon.json_lines import JsonLines
from swt3_agent.daemon.lanes import start_delivery, stop_delivery
from swt3_agent.daemon.listeners import Listeners
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.operations import operations
from swt3_agent.daemon.ops_app import ops_servers
from swt3_agent.daemon.reload import Reloader
from swt3_agent.daemon.schedule import finish_log, scheduler_of
from swt3_agent.daemon.sink import CatalogedJournal
from swt3_agent.daemon.sockets import Sockets, open_sockets
from swt3_agent.protocol.evidence import RootOfTrust
from swt3_agent.store.state import StateDirectory
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

STATUS_PERIOD_S = 10.0
TPM_STOP_S = 40.0
"""For all that the TPM is asked at the stop: within TimeoutStopSec, which is 60 s."""
SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter from one that waits. The journal's writer asks for it
three times in a commit: with CPython's 5 ms acknowledgements took 25 ms longer under load."""


def run(
    config: Config,
    on_ready: Callable[[Node], None] = lambda _: None,
    load: Callable[[], Config] | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; every commit under way is finished first.

    ``on_ready`` is called once, when the sockets answer; ``load`` reads the configuration again
    upon SIGHUP (None: that changes nothing).
    Raises AgentError when it cannot start: configuration, state directory, journal, sockets.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it starts with is read already
    with (
        StateDirectory.open(config.state_dir) as state,
        open_sockets(config) as sockets,
        Node(config, state) as node,
    ):
        asyncio.run(_serve(node, state, sockets, on_ready, load or (lambda: config)))


async def _serve(
    node: Node,
    state: StateDirectory,
    sockets: Sockets,
    on_ready: Callable[[Node], None],
    load: Callable[[], Config],
) -> None:
    notifier = sdnotify.SystemdNotifier()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    sink = CatalogedJournal(node.journal, node.catalogue, node.custody)
    listeners = Listeners(node, sockets, sink)
    node.gaps = gaps = GapRecorder(node.journal, listeners.counters)
    control = ControlServer(sockets.control, operations(node, listeners.total))
    ops = ops_servers(node, sockets, list(listeners.counters.values()))
    lines = JsonLines(node.journal, lambda: node.config)
    scheduler = scheduler_of(node)
    scheduler.add_job(gaps.record, "interval", seconds=PERIOD_S, id="gaps")
    reloader = Reloader(node, listeners, scheduler, load, notifier.notify)
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        await listeners.start()
        await control.start()
        for server in ops:
            await server.start()
        lines.start()
        state.set_control(sockets.control.path)
        scheduler.start()
        start_delivery(node)
        _log_ready(node, sockets)
        notifier.notify("READY=1")
        on_ready(node)
        reloader.start()
        await _watch(notifier, node, stop)
    finally:
        await reloader.stop()
        notifier.notify("STOPPING=1")
        logger.info("stopping %s", fields(Event.STOPPING))
        if node.tpm is not None:
            node.tpm.end_within(TPM_STOP_S)
        node.pipeline.stop()
        node.breath.stop()
        sockets.intake.remove_file()
        await listeners.stop()
        if scheduler.running:  # its jobs use what closes next; none waits for a reading any longer
            await asyncio.to_thread(scheduler.shutdown)
        await control.stop()
        await asyncio.to_thread(stop_delivery, node)
        for server in ops:
            await server.stop()
        await asyncio.to_thread(lines.stop)
        await asyncio.to_thread(gaps.record)
        await asyncio.to_thread(finish_log, node)
        # The loop leaves signals to their default when it closes; one must not end the closing.
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _log_ready(node: Node, sockets: Sockets) -> None:
    identity = node.tpm_identity
    told = fields(
        Event.READY,
        socket=sockets.intake.path,
        tenant=node.config.tenant,
        tpm="none" if identity is None else identity.kind.value,
        heads="signed" if node.head_lack is None else "unsigned",
    )
    logger.info("ready %s", told)
    if node.tpm is None:
        told = fields(Event.LOG_UNSIGNED)
        logger.warning("the log is unsigned: this node was told to run without a TPM %s", told)
    elif identity is not None and identity.kind is RootOfTrust.SOFTWARE_TPM:
        told = fields(Event.LOG_UNSIGNED)
        logger.warning("a software TPM signs the log: it is no root of trust %s", told)


async def _watch(notifier: sdnotify.SystemdNotifier, node: Node, stop: asyncio.Event) -> None:
    """Tell the service manager that the loop and the journal's writer are alive, until stopped."""
    period_s = _watch_period_s(os.environ)
    while not stop.is_set():
        if node.journal.failure is None:
            notifier.notify(f"WATCHDOG=1\nSTATUS=log of {node.journal.size} records")
        else:
            notifier.notify(f"STATUS={node.journal.failure}")
        try:
            await asyncio.wait_for(stop.wait(), period_s)
        except asyncio.TimeoutError:
            continue


def _watch_period_s(environ: Mapping[str, str]) -> float:
    """Half of what the service manager allows between signs of life (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    if microseconds.isdecimal() and int(microseconds) > 0:
        return int(microseconds) / 2_000_000
    return STATUS_PERIOD_S
