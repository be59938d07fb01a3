"""The agent's handle on its TPM: synchronous calls, each bounded in time."""

from pathlib import Path
from types import TracebackType

from swt3_agent.errors import TpmError, UsageError
from swt3_agent.protocol.checkpoint import LOG_PCRS
from swt3_agent.tcg.attest import GENERATED_MAGIC
from swt3_agent.tcg.pcr import PCR_COUNT
from swt3_agent.tpm.messages import (
    MAX_BODY,
    MAX_MESSAGE,
    MESSAGE_PART,
    TEMPLATES,
    Activate,
    CertifyCounter,
    Challenge,
    ChallengeQuote,
    ClockInfo,
    CounterState,
    EndorsementKey,
    ExtendAndQuote,
    IncrementCounter,
    Open,
    OpenCounter,
    PrepareSuccessor,
    QuoteHead,
    ReadClock,
    ReadEndorsementKey,
    ReadPcrs,
    Sign,
    SignedAttest,
    SignedHead,
    Successor,
    TpmIdentity,
)
from swt3_agent.tpm.supervisor import Supervisor

__all__ = [
    "ChallengeQuote",
    "ClockInfo",
    "CounterState",
    "EndorsementKey",
    "SignedAttest",
    "SignedHead",
    "Successor",
    "Tpm",
    "TpmIdentity",
]

NONCE_SIZES = range(8, 32)  # 32 bytes belong to checkpoints (docs/formats.md, "Checkpoint note")


class Tpm:
    """The TPM at ``tcti`` (None: the kernel's /dev/tpmrm0), owned by a child process.

    Any thread may call; calls take turns. A call waits at most ``timeout_s`` for its turn and
    takes at most ``timeout_s`` itself: then the child is killed, TpmError TPM_BUSY is raised, and
    the next call starts another child, which loads the same attestation key from ``keys_dir``.

    Every call raises ``TpmError``: TPM_ABSENT, TPM_DENIED, TPM_BUSY or TPM_FAILED say which of
    four things is wrong; TPM_STACK that the TPM software stack is not installed; one of
    ``key_faults.LOST_KEY_CODES`` why the attestation key cannot be used, TPM_KEY_UNREADABLE that
    its files cannot be read, and TPM_KEY_NOT_STORED that a new one could not be written; TPM_BANK
    that a PCR has no SHA-256 bank; TPM_LOG_PCR that the log PCR was extended by somebody else, or
    the TPM was reset.
    """

    def __init__(
        self,
        tcti: str | None,
        keys_dir: Path,
        *,
        log_pcr: int = 13,
        quoted_pcrs: tuple[int, ...],
        timeout_s: float = 30.0,
        expected_ak: bytes = b"",
    ) -> None:
        """``expected_ak`` is the TPMT_PUBLIC of the key that must be found in ``keys_dir``; where
        it is empty any key will do, and one is created where there is none."""
        if log_pcr not in LOG_PCRS or log_pcr not in quoted_pcrs:
            raise UsageError(
                "LOG_PCR",
                f"PCR {log_pcr} cannot hold the log, or it is not among the quoted ones",
                remedy=f"use one of {sorted(LOG_PCRS)} and quote it",
            )
        request = Open(
            tcti=tcti,
            keys_dir=str(keys_dir.absolute()),
            log_pcr=log_pcr,
            quoted_pcrs=tuple(sorted(set(quoted_pcrs))),
            expected_ak=expected_ak,
        )
        self._supervisor = Supervisor(request, timeout_s)

    def __enter__(self) -> "Tpm":
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> TpmIdentity:
        """Reach the TPM, load the attestation key, or create it where ``keys_dir`` has none and
        none is expected, and prove with a quote that it signs.

        Opening an open handle tells the identity again.
        """
        return self._supervisor.open()

    def read_pcrs(self, indices: tuple[int, ...]) -> dict[int, bytes]:
        """Values of these registers of the SHA-256 bank; more than eight are not read at once."""
        return self._supervisor.call(ReadPcrs(tuple(sorted(set(indices)))), dict[int, bytes])

    def extend_and_quote(self, body: bytes) -> SignedHead:
        """Extend the log PCR with SHA-256(body) and quote the note (docs/formats.md, "What a
        signed head proves").

        After an error the extend may have happened or not: read the log PCR, and where it holds
        the extended value call ``quote_head``; never extend again unasked.
        """
        return self._supervisor.call(ExtendAndQuote(_checked_body(body)), SignedHead)

    def quote_head(self, body: bytes, before: bytes) -> SignedHead:
        """Quote a note that has been extended already, from ``before``, as the last one."""
        return self._supervisor.call(QuoteHead(_checked_body(body), before), SignedHead)

    def challenge(self, nonce: bytes, *, also: tuple[int, ...] = ()) -> ChallengeQuote:
        """Quote the PCRs, and those in ``also``, over a challenger's nonce of 8 to 31 bytes, taken
        verbatim.

        Raises ``UsageError`` BAD_NONCE for any other length: 32 bytes belong to checkpoints;
        BAD_PCR for a register that no TPM has.
        """
        if len(nonce) not in NONCE_SIZES:
            raise UsageError(
                "BAD_NONCE",
                f"a nonce of {len(nonce)} bytes",
                remedy="give a nonce of 8 to 31 bytes (16 to 62 hex digits)",
            )
        if unknown := sorted(set(also) - set(range(PCR_COUNT))):
            raise UsageError(
                "BAD_PCR",
                f"no PCR {unknown[0]}",
                remedy=f"name registers from 0 to {PCR_COUNT - 1}",
            )
        return self._supervisor.call(Challenge(bytes(nonce), tuple(also)), ChallengeQuote)

    def endorsement_keys(self) -> tuple[EndorsementKey, ...]:
        """The EKs that this TPM can derive, with their certificates where NV has them.

        A hardware TPM may take many seconds to derive an RSA key; each key has its own deadline.
        """
        found = [
            self._supervisor.call(ReadEndorsementKey(template), list[EndorsementKey])
            for template in TEMPLATES
        ]
        return tuple(key for keys in found for key in keys)

    def activate(self, template: str, credential: bytes, secret: bytes) -> bytes:
        """TPM2_ActivateCredential for the AK under the EK of ``template``: the secret that somebody
        encrypted to both. ``credential`` is the content of a TPM2B_ID_OBJECT, ``secret`` of a
        TPM2B_ENCRYPTED_SECRET.

        Raises TpmError TPM_CREDENTIAL where it was made for another TPM, another AK, or damaged.
        """
        if max(len(credential), len(secret)) > MAX_BODY:
            raise TpmError(
                "TPM_CREDENTIAL",
                f"the TPM does not open a credential of {len(credential) + len(secret)} bytes",
                remedy="it is damaged: make a new request (`swt3-agent enroll request`)",
            )
        request = Activate(template, bytes(credential), bytes(secret))
        return self._supervisor.call(request, bytes)

    def open_counter(self, index: int, *, define: bool = True) -> CounterState:
        """The counter in this NV index; ``define``: defined and incremented once where there is
        none.

        Raises TpmError: TPM_COUNTER_GONE where there is none and it is not to be defined,
        TPM_COUNTER_INDEX where something else lies there, TPM_COUNTER_AUTH where
        it has another authValue than the AK, TPM_DENIED where only the owner may define one.
        """
        return self._supervisor.call(OpenCounter(index, define), CounterState)

    def certify_counter(self, index: int, extra: bytes) -> SignedAttest:
        """TPM2_NV_Certify of the counter's 8 bytes by the AK, ``extra`` being its qualifying data.

        Raises as ``open_counter``.
        """
        return self._supervisor.call(CertifyCounter(index, bytes(extra)), SignedAttest)

    def increment_counter(self, index: int) -> int:
        """TPM2_NV_Increment; the new value. Raises as ``certify_counter``.

        After an error it may have happened or not: ``open_counter`` tells the value. It is never
        repeated unasked.
        """
        return self._supervisor.call(IncrementCounter(index), int)

    def prepare_successor(self, log_id: str) -> Successor:
        """Make a new AK and have the present one certify it (docs/formats.md, "Succession").

        What is prepared waits in ``keys_dir``, so that preparing again gives the same.
        """
        return self._supervisor.call(PrepareSuccessor(log_id), Successor)

    def make_replacement(self) -> TpmIdentity:
        """Make a new AK for one that is lost, which thus cannot certify it. It waits in
        ``keys_dir`` as a successor does, and signs nothing before it is adopted."""
        return self._supervisor.make_replacement()

    def adopt_successor(self, ak_public: bytes) -> TpmIdentity:
        """Sign with this AK from now on, which was prepared, or made as a replacement; the log must
        name it. The old one stays in ``keys_dir`` until it is retired. Doing it again is harmless.
        """
        return self._supervisor.adopt(bytes(ak_public))

    def sign(self, message: bytes) -> bytes:
        """The AK's DER ECDSA signature over SHA-256(message), which the TPM itself hashes: it signs
        nothing that could pass for its own attestation.

        Raises UsageError: SIGN_TCG_MAGIC for a message that begins as an attestation does,
        SIGN_SIZE for one of more than 1 MiB.
        """
        message = bytes(message)
        if message.startswith(GENERATED_MAGIC):
            raise UsageError(
                "SIGN_TCG_MAGIC",
                "the message begins like a structure that only a TPM makes",
                remedy="sign something else: no TPM signs this with an attestation key",
            )
        if len(message) > MAX_MESSAGE:
            raise UsageError(
                "SIGN_SIZE",
                f"a message of {len(message)} bytes",
                remedy=f"sign {MAX_MESSAGE} bytes at most, or a digest of them",
            )
        starts = range(0, max(len(message), 1), MESSAGE_PART)
        parts = [message[start : start + MESSAGE_PART] for start in starts]
        requests = [Sign(part, last=False) for part in parts[:-1]]
        return self._supervisor.call(Sign(parts[-1], last=True), bytes, before=requests)

    def clock(self) -> ClockInfo:
        """The TPM's clock and reset counts, unsigned; a quote carries them signed."""
        return self._supervisor.call(ReadClock(), ClockInfo)

    @property
    def process_id(self) -> int | None:
        """The process that owns the TPM now; None where there is none."""
        return self._supervisor.process_id

    def end_within(self, seconds: float) -> None:
        """Let no call that begins from now on wait or last beyond that: the agent stops, and a TPM
        that hangs must not keep it from stopping in order."""
        self._supervisor.end_within(seconds)

    def close(self) -> None:
        """End the child, which flushes all that it had loaded into the TPM."""
        self._supervisor.close()


def _checked_body(body: bytes) -> bytes:
    if not 0 < len(body) <= MAX_BODY:
        raise UsageError(
            "BAD_NOTE",
            f"a note body of {len(body)} bytes",
            remedy=f"a note body has 1 to {MAX_BODY} bytes",
        )
    return bytes(body)
