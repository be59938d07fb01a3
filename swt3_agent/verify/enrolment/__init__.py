"""Enrolling a node over an air gap, without a TPM: judge a request, challenge, judge the answer.

request        what a request proves by itself
endorsement    which EK is taken; on whose word: ``certificate``, ``chain``, ``authorities``
challenge      a secret for the TPM of that EK
acceptance     the answer, and the trust file that follows from it
state          what the enroller keeps in between
reissue        a trust file again, revoked or for longer
"""

from swt3_agent.verify.enrolment.acceptance import Accepted, accept_answer
from swt3_agent.verify.enrolment.authorities import Authorities, read_authorities
from swt3_agent.verify.enrolment.challenge import IssuedChallenge, issue_challenge
from swt3_agent.verify.enrolment.endorsement import Endorsement, Policy
from swt3_agent.verify.enrolment.reissue import renew, revoke
from swt3_agent.verify.enrolment.request import CheckedRequest, check_request
from swt3_agent.verify.enrolment.state import (
    PendingState,
    UsedState,
    encode_state,
    pending_state,
)

__all__ = [
    "Accepted",
    "Authorities",
    "CheckedRequest",
    "Endorsement",
    "IssuedChallenge",
    "PendingState",
    "Policy",
    "UsedState",
    "accept_answer",
    "check_request",
    "encode_state",
    "issue_challenge",
    "pending_state",
    "read_authorities",
    "renew",
    "revoke",
]
