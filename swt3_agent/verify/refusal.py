"""What to do about each code with which a verifier ends: the same, whoever found it.

docs/refusals.md prints this table. The layers below cannot know it: to them a structure that does
not parse is one to be read again, and to a verifier it is one that somebody hands him.
"""

from swt3_agent.errors import FormatError

_FETCH = "fetch the file again, byte for byte; if it is still so, treat it as tampered with"
_FETCH_BUNDLE = (
    "fetch the bundle again, byte for byte; if it is still so, treat it as tampered with and keep"
    " it"
)
_FETCH_TRUST = "fetch the trust file again from the enroller"
_FETCH_STATEMENT = "fetch the envelope again, or ask the node for the statement again"
_NEWER_VERIFIER = "use a verifier that knows the format"
_ASK_NODE = "ask the node for the proof again; if it is still so, do not trust the node"
_ASK_PRODUCER = "ask the producer of the record for which tenant it was minted"
_ASK_ENROLLER = (
    "ask the enroller which node, log, key and time the trust file is for, and for his newest one"
)
_ASK_SIGNER = "ask the node for the statement again, and the enroller which key speaks for it"
_NO_QUOTE = (
    "trust nothing that this quote should vouch for; ask the node's owner for its journal, or for"
    " a quote over a new nonce"
)
_NO_KEY = (
    "trust nothing that this key signed; have the node enrolled with a key that its agent made"
)
_NO_SUCCESSOR = (
    "trust nothing that the new key signed; ask the enroller, and have the node enrolled with its"
    " present key"
)
_NOT_WHOLE = (
    "keep the file: it shows that the log is not whole. Ask the operator for what is missing;"
    " until then trust nothing after the gap"
)
_MISSING_STEPS = (
    "keep the bundle. Ask the operator for the log from which the missing steps come; until then"
    " count it as a lost or hidden history"
)
_BOOT_ANEW = "ask the operator what was booted; have the node reboot, attest and export again"
_ACCEPT = (
    "find out what changed. Where it was meant, accept it with `swt3-agent baseline accept` and"
    " hand the new file out"
)
_REFERENCE = (
    "give the file that `swt3-agent baseline` wrote, byte for byte, or a verifier that knows it"
)
_NEW_NONCE = (
    "send the node a new nonce and judge what `swt3-agent quote --nonce` answers; if it is still"
    " so, do not trust the node"
)
_KEEP_BOTH = (
    "keep both files and the state directory: together they show it. Ask the operator, and do not"
    " trust what the node says"
)
_ENROLLED_ANEW = (
    "ask the enroller whether he enrolled the node anew; if so, move this log's file out of the"
    " state directory, and keep it"
)

_BY_FAMILY = {
    "PARSE_": _FETCH,
    "NOTE_": _FETCH,
    "PREVIOUS_": _ASK_NODE,
    "NOTE_SIGNATURE": _NO_QUOTE,
    "SIGNATURE_": _NO_QUOTE,
    "ATTEST_": _NO_QUOTE,
    "QUOTE_": _NO_QUOTE,
    "LOG_PCR": _NO_QUOTE,
    "PCR_": _NO_QUOTE,
    "PUBLIC_": _NO_KEY,
    "AK_": _NO_KEY,
    "SUCCESSION_": _NO_SUCCESSOR,
    "TRUST_": _ASK_ENROLLER,
    "FLOOR_": _ASK_ENROLLER,
    "BUNDLE_": _FETCH_BUNDLE,
    "CLOSING_": _FETCH_BUNDLE,
    "EARLIER_": _FETCH_BUNDLE,
    "RECORD_": _FETCH_BUNDLE,
    "TREE_": _FETCH_BUNDLE,
    "HEAD_": _NOT_WHOLE,
    "COUNTER_": _MISSING_STEPS,
    "NV_PUBLIC_": _MISSING_STEPS,
    "BOOT_": _BOOT_ANEW,
    "EVENT_LOG_": _BOOT_ANEW,
    "IMA_LOG_": _BOOT_ANEW,
    "VALUE_": _ACCEPT,
    "REFERENCE_": _REFERENCE,
    "CHALLENGE_": _NEW_NONCE,
    "DSSE_": _FETCH_STATEMENT,
    "STATEMENT_": _FETCH_STATEMENT,
    "STATE_": _KEEP_BOTH,
}
"""By how a code begins: the longest that fits."""

_BY_CODE = {
    "PARSE_FORMAT_UNKNOWN": _NEWER_VERIFIER,
    "IDENTITY": _ASK_NODE,
    "LEAF_MISMATCH": _ASK_NODE,
    "INCLUSION_RANGE": "ask for a proof under a later head",
    "INCLUSION_MISMATCH": _ASK_NODE,
    "FINGERPRINT_MISMATCH": _ASK_PRODUCER,
    "TENANT_MISMATCH": _ASK_PRODUCER,
    "BAD_FIELD": "ask the producer to mint the anchor as docs/protocol.md says",
    "NOTE_FUTURE": "compare the clocks of node and verifier",
    "LOG_UNSIGNED": "give the node a TPM, or take the record as the node's own word",
    "NOTE_SIGNATURE_MISSING": "ask the node for the whole proof",
    "NOTE_KEY_ID": _NO_QUOTE,
    "PCR_NOT_QUOTED": "quote that register, or give a reference without it",
    "SIGNER_UNANCHORED": "give the enroller's trust file with `--trust`",
    "SOFTWARE_TPM": "add `--allow-software-tpm` if that suffices, or enrol a hardware TPM",
    "TRUST_FORMAT_UNKNOWN": _NEWER_VERIFIER,
    "TRUST_BODY": _FETCH_TRUST,
    "TRUST_SIGNER": _FETCH_TRUST,
    "TRUST_SIGNATURE": _FETCH_TRUST,
    "FLOOR_ROOT": _NOT_WHOLE,
    "GAP_RECORD": _FETCH_BUNDLE,
    "CLEARING_LEVEL": "tell the operator; ask for a bundle that respects his level",
    "TREE_CONSISTENCY": _NOT_WHOLE,
    "HEAD_CLEARED": "have the node enrolled anew",
    "HEAD_OBFUSCATED": _NO_KEY,
    "LOG_PCR_START": "reboot the node, or export the range anew: from further back, where a signed"
    " head comes before it, or with the size of the trust file's floor in it",
    "BOOT_WITHOUT_TPM_RESET": "have the node rebooted through its firmware, and take a range that"
    " begins there: nothing shows what a kexec started",
    "RESETS_UNACCOUNTED": "ask the operator what ran in the boots that the log does not know",
    "CLOCK_BACKDATED": "ask the operator when and why the node's clock was put back; what the"
    " heads on both sides say of the time contradicts each other",
    "COUNTER_START": "give a trust file whose floor covers it, or the bundle that ends where this"
    " one begins",
    "COUNTER_REDEFINED": "ask who deleted the NV index; have the node enrolled again, so that the"
    " trust file's floor covers the new one",
    "COUNTER_NOT_STEPPED": "export a range that reaches to the next step of the counter; if there"
    " is none, ask why the TPM's counter could not be used in that boot",
    "BOOT_READINGS": _FETCH_BUNDLE,
    "PCR_MISMATCH": _ACCEPT,
    "BOOT_LOG_MISSING": "give a bundle with its boot log, or a reference of exact registers",
    "CHALLENGE_FILES": "give the directory that `swt3-agent quote --nonce` wrote, whole",
    "CHALLENGE_NO_NONCE": "give the nonce that you sent, with `--nonce`",
    "DSSE_SIGNATURE": _ASK_SIGNER,
    "STATEMENT_TYPE": "judge it with a verifier that knows its type",
    "STATEMENT_NODE": _ASK_SIGNER,
    "STATE_KEY": _ENROLLED_ANEW,
    "STATE_ENROLLER": _ENROLLED_ANEW,
    "STATE_DAMAGED": "restore the state directory from a backup; to begin anew, move the file"
    " away, and know that what was seen is forgotten",
    "STATE_FORMAT_UNKNOWN": _NEWER_VERIFIER,
}


def refusal(code: str, message: str) -> FormatError:
    """What a verifier found, with what to do about it."""
    return FormatError(code, message, remedy=_listed(code))


def remedy_of(error: FormatError) -> str:
    """What to do about ``error``, whoever raised it."""
    return _listed(error.code) or error.remedy


def _listed(code: str) -> str:
    if code in _BY_CODE:
        return _BY_CODE[code]
    fitting = [family for family in _BY_FAMILY if code.startswith(family)]
    return _BY_FAMILY[max(fitting, key=len)] if fitting else ""
