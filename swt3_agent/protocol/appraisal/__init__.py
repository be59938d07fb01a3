"""Appraisal: from a reading to an outcome with reasons (docs/protocol.md 8; RFC 9334).

Pure: the same reading gives the same appraisal. Evidence that lacks what a rule needs counts
against the node, never for it. Only PASS and FAIL with factors are minted; what could not be
compared or is not there is recorded and shown, because the wire has no word for it
(docs/protocol.md 8.4).
"""

from swt3_agent.protocol.appraisal.base import Appraisal, Outcome
from swt3_agent.protocol.appraisal.environment import appraise_environment
from swt3_agent.protocol.appraisal.gpu import appraise_gpu, appraise_nvlink
from swt3_agent.protocol.appraisal.models import appraise_weights
from swt3_agent.protocol.appraisal.platform import appraise_host, appraise_platform

__all__ = [
    "Appraisal",
    "Outcome",
    "appraise_environment",
    "appraise_gpu",
    "appraise_host",
    "appraise_nvlink",
    "appraise_platform",
    "appraise_weights",
]
