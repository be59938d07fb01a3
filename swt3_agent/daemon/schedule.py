"""What the daemon does by the clock: each collector at its interval, heads, the end of the day."""

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timezone

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from swt3_agent.daemon.node import Node
from swt3_agent.daemon.node_counter import step_counter
from swt3_agent.errors import AgentError
from swt3_agent.protocol.days import SEAL_AFTER_S
from swt3_agent.telemetry import Event, fields

logger = logging.getLogger(__name__)

EXECUTOR_THREADS = 10
"""One for each collector, the heads and the counter, so that a slow one delays no other."""
COUNTER_LOOK_S = 15.0
"""How often it is looked whether the counter is due: a TPM may come at any time."""


def scheduler_of(node: Node) -> BackgroundScheduler:
    """Each collector at its interval from now on, and a head whenever something is new.

    One instance of each job at a time: a slow TPM or a large model stretches its own cadence.
    """
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(EXECUTOR_THREADS)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=timezone.utc,
    )
    schedule(scheduler, node)
    scheduler.add_job(
        _seal_days,
        CronTrigger(minute=f"*/{SEAL_AFTER_S // 60}", timezone=timezone.utc),
        args=(node,),
        id=node.audit.name,
        next_run_time=datetime.now(timezone.utc),  # what was missed
    )
    scheduler.add_job(
        _step_when_due,
        "interval",
        seconds=COUNTER_LOOK_S,
        args=(node,),
        id="counter",
        next_run_time=datetime.now(timezone.utc),
    )
    scheduler.add_listener(_log_skipped, EVENT_JOB_MAX_INSTANCES)
    return scheduler


def schedule(
    scheduler: BackgroundScheduler, node: Node, at_once: Collection[str] | None = None
) -> None:
    """Each collector of ``node``, and heads, at the intervals of its settings, from now on.

    ``at_once`` names those that run now, whenever they ran before; None: all.
    """
    names = {watched.collector.name for watched in node.watched}
    for job in scheduler.get_jobs():
        if job.func is _attest and job.id not in names:
            job.remove()
    for watched in node.watched:
        collector = watched.collector
        if collector is node.audit:  # has times of its own
            continue
        name = collector.name
        runs_now = at_once is None or name in at_once or scheduler.get_job(name) is None
        _repeat(scheduler, name, collector.interval_s, _attest, (node, name), now=runs_now)
    every_s = node.config.intervals.checkpoint
    _repeat(scheduler, "head", every_s, _make_head_when_rested, (node,), now=False)


def _repeat(
    scheduler: BackgroundScheduler,
    name: str,
    every_s: float,
    job: Callable[..., None],
    args: tuple[object, ...],
    *,
    now: bool,
) -> None:
    """Do ``job`` every ``every_s`` seconds; ``now``: for the first time now. One that is repeated
    so already keeps its next time: else reloads that follow each other closely put it off for ever.
    """
    known = scheduler.get_job(name)
    if not now and known is not None and known.trigger.interval_length == every_s:
        return
    scheduler.add_job(
        job,
        "interval",
        seconds=every_s,
        args=args,
        id=name,
        replace_existing=True,
        **({"next_run_time": datetime.now(timezone.utc)} if now else {}),
    )


def _log_skipped(event: JobSubmissionEvent) -> None:
    logger.info(
        "still running, so not started again %s", fields(Event.JOB_SKIPPED, job=event.job_id)
    )


def _attest(node: Node, collector: str) -> None:
    before = node.last_runs.get(collector)
    try:
        node.attest([collector])
    except AgentError as error:
        told = fields(Event.ATTESTATION_FAILED, collector=collector, code=error.code, why=error)
        logger.error("not attested %s", told)
        return
    run = node.last_runs.get(collector)
    if run is not None and run.failed and not (before is not None and before.failed):
        reasons = {reason.code for one in run.attestations for reason in one.appraisal.reasons}
        told = fields(Event.ATTESTED_FAIL, collector=collector, reasons=",".join(sorted(reasons)))
        logger.warning("attested, and the verdict is FAIL %s", told)


def _seal_days(node: Node) -> None:
    """Looked at every quarter of an hour, so that what could not be sealed at once is soon."""
    if node.audit.is_due() or node.audit.is_first():
        _attest(node, node.audit.name)


def _make_head_when_rested(node: Node) -> None:
    if node.heads.rested:
        make_head(node, "cadence")


def _step_when_due(node: Node) -> None:
    if node.counter.is_due:
        step_counter(node.counter, "cycle" if node.counter.has_stepped else "start")


def make_head(node: Node, reason: str) -> None:
    """Make a head of the log where there is something new; what hinders it is logged.

    Once: `status` says since when, and a TPM that is away for a day is one event, not thousands.
    """
    known = node.head_lack
    try:
        node.checkpoint(reason)
    except AgentError as error:
        if known is None or known.reason.code != error.code:
            logger.error("no head %s", fields(Event.HEAD_FAILED, code=error.code, why=error))


def finish_log(node: Node) -> None:
    """The last step of the counter, and the head that covers it."""
    step_counter(node.counter, "stop")
    lack = node.counter.lack
    if lack is None or lack.reason.code != "TPM_BUSY":  # else it answers no head either: no time
        make_head(node, "stop")
