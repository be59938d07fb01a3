"""SIGHUP: read the configuration again, and put in force what can change while the agent runs.

What is part of the node's identity or of what it holds open waits for a restart, and so does a
lower clearing level: that less is withheld should not be the side effect of a signal.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from apscheduler.schedulers.background import BackgroundScheduler

from swt3_agent.config import Config
from swt3_agent.daemon.lanes import start_delivery, stop_delivery
from swt3_agent.daemon.listeners import Listeners
from swt3_agent.daemon.minter import minter_of
from swt3_agent.daemon.node import Node
from swt3_agent.daemon.schedule import schedule
from swt3_agent.errors import AgentError
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

AT_RUN_TIME = frozenset(
    {
        "clearing_level",
        "agent_id",
        "profile",
        "ledger",
        "signing",
        "labels",
        "tools",
        "required",
        "intervals",
        "gpu",
        "models",
        "environment",
        "receipts",
        "output",
    }
)
"""Settings that can change while the agent runs; every other one waits for a restart."""
NO_SETTINGS = frozenset({"source", "warnings", "ignored", "lacks"})
"""What the configuration says about itself."""
_OF_DELIVERY = frozenset({"ledger", "clearing_level"})
_COLLECTOR_OF = {"models": "weights", "gpu": "gpu", "environment": "environment"}
"""Whose reading a setting changes: it runs again at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new configuration changes: ``config`` is what is in force from now on.

    ``applied`` and ``at_restart`` name the settings that differ.
    """

    config: Config
    applied: tuple[str, ...]
    at_restart: tuple[str, ...]

    @property
    def collectors(self) -> frozenset[str]:
        """The collectors to run at once, by name."""
        return frozenset(name for setting, name in _COLLECTOR_OF.items() if setting in self.applied)


def plan(current: Config, wanted: Config) -> Plan:
    """From the settings in force to those that were read."""
    applied, at_restart = [], []
    in_force = wanted
    for name in Config.__dataclass_fields__:
        before, after = getattr(current, name), getattr(wanted, name)
        if name in NO_SETTINGS or before == after:
            continue
        if name not in AT_RUN_TIME or (name == "clearing_level" and after < before):
            at_restart.append(name)
            in_force = replace(in_force, **{name: before})
        else:
            applied.append(name)
    return Plan(in_force, tuple(applied), tuple(at_restart))


class Reloader:
    """Reloads whenever it is asked, one time after the other, in the daemon's loop.

    ``load`` reads the configuration and raises AgentError for one that is not valid; then the one
    before stays in force. ``notify`` tells the service manager (sd_notify(3)).
    """

    def __init__(
        self,
        node: Node,
        listeners: Listeners,
        scheduler: BackgroundScheduler,
        load: Callable[[], Config],
        notify: Callable[[str], None],
    ) -> None:
        self._node = node
        self._listeners = listeners
        self._scheduler = scheduler
        self._load = load
        self._notify = notify
        self._asked = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Reload when asked, also when that was before now."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish a reload that is under way, and begin none any more."""
        async with self._reloading:
            if self._task is not None:
                self._task.cancel()

    def ask(self) -> None:
        """Reload soon; being asked again before that makes no difference."""
        self._asked.set()

    async def _run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            async with self._reloading:
                self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
                await self._try_reload()
                self._notify("READY=1")

    async def _try_reload(self) -> None:
        try:
            await self._reload()
        except AgentError as error:
            told = fields(Event.RELOAD_REFUSED, code=error.code, why=error, remedy=error.remedy)
            logger.error("not reloaded: the settings before stay in force %s", told)
        except Exception:
            logger.exception("not reloaded %s", fields(Event.RELOAD_REFUSED, code="INTERNAL"))

    async def _reload(self) -> None:
        wanted = await asyncio.to_thread(self._load)
        found = plan(self._node.config, wanted)
        minter = minter_of(found.config)
        self._listeners.reconfigure(found.config)  # all that may refuse it has agreed now
        self._node.reconfigure(found.config, minter)
        schedule(self._scheduler, self._node, found.collectors)
        if _OF_DELIVERY.intersection(found.applied):
            await asyncio.to_thread(stop_delivery, self._node)
            start_delivery(self._node)
        elif self._node.delivery is not None:  # what stopped it may be mended, on either side
            self._node.delivery.resume()
        told = fields(
            Event.RELOADED,
            changed=",".join(found.applied) or "nothing",
            restart_for=",".join(found.at_restart) or "nothing",
        )
        logger.log(logging.WARNING if found.at_restart else logging.INFO, "reloaded %s", told)
