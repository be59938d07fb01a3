"""The enroller's first step: judge a request, and challenge the TPM that it speaks of."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timezone

from swt3_agent.protocol.enrolment import (
    CHALLENGE_FORMAT,
    SECRET_SIZE,
    Challenge,
    encode_file,
    file_digest,
)
from swt3_agent.tcg.make_credential import make_credential
from swt3_agent.verify.enrolment.endorsement import Endorsement, Policy, choose_ek
from swt3_agent.verify.enrolment.request import CheckedRequest, check_request
from swt3_agent.verify.enrolment.state import PendingState


@dataclass(frozen=True, slots=True)
class IssuedChallenge:
    """A challenge file for the node, and what the enroller keeps to judge the answer: his state,
    which holds the secret."""

    checked: CheckedRequest
    endorsement: Endorsement
    challenge: bytes
    state: PendingState


def issue_challenge(data: bytes, policy: Policy, now_ms: int) -> IssuedChallenge:
    """Challenge the node whose request file is ``data``, at ``now_ms`` (UTC).

    Raises FormatError as ``check_request`` and ``choose_ek`` do.
    """
    checked = check_request(data, now_ms)
    request = checked.request
    now = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    endorsement = choose_ek(request.endorsement_keys, request.tpm, policy, now)
    secret = secrets.token_bytes(SECRET_SIZE)
    credential = make_credential(endorsement.public, checked.ak.name(), secret)
    challenge = encode_file(
        Challenge(
            format=CHALLENGE_FORMAT,
            request=checked.digest,
            node_id=request.node_id,
            ak_name=checked.ak.name().hex(),
            template=endorsement.template,
            ek=endorsement.spki_sha256.hex(),
            time_ms=now_ms,
            credential=credential.id_object,
            secret=credential.encrypted_secret,
        )
    )
    certified = endorsement.certified
    state = PendingState(
        request=data,
        challenge=file_digest(challenge),
        secret=secret,
        time_ms=now_ms,
        ek=endorsement.spki_sha256.hex(),
        ek_root=None if certified is None else certified.root_sha256.hex(),
        tpm=endorsement.tpm.value,
    )
    return IssuedChallenge(checked, endorsement, challenge, state)
