"""The kinds of log lines, each with an id that stays the same for ever.

The id is the journal's MESSAGE_ID: ``journalctl MESSAGE_ID=...`` finds all lines of one kind,
whatever their words. docs/operations.md, "Log entries", prints this table. A kind is never
changed in meaning; a new meaning is a new kind.
"""

from enum import Enum


class Event(Enum):
    """A kind of log line: its id, what it means, and what to do about it."""

    READY = (
        "2757240795173a97411a652d624a90a0",
        "the agent answers on its sockets",
        "nothing",
    )
    STOPPING = (
        "5625913098b44fe234afe47f706f9971",
        "the agent was told to stop and finishes what is under way",
        "nothing",
    )
    RELOADED = (
        "0a9a76e99afbc7ea26e4e924396d5d32",
        "SIGHUP: the configuration was read again and is in force",
        "restart the agent where `restart_for` names keys: those could not be changed at run time",
    )
    RELOAD_REFUSED = (
        "407967d549bbddb51e13cc11755be04b",
        "SIGHUP: the configuration is not valid; the one before stays in force",
        "mend what `why` names, then `systemctl reload swt3-agent`",
    )
    LOG_UNSIGNED = (
        "f4a7b2c54b96d4cf0ab581ce38321da3",
        "no hardware TPM signs the log",
        "give the agent a TPM, or accept that `verify` says so",
    )
    TPM_LACKING = (
        "e860be05567a022743c968e53415be4d",
        "the TPM cannot be used; heads are unsigned until it can",
        "follow the remedy; `swt3-agent doctor` tells more",
    )
    TPM_BACK = (
        "6bd3040cb94b5a222accfb54979a84f3",
        "a TPM that was late signs from now on",
        "nothing",
    )
    KEY_CHANGED = (
        "4cd1b3a1d76b43a6a85d6ed592d47ccb",
        "an operator rotated, replaced or retired an attestation key",
        "nothing if it was you; after `event=replaced` enrol the node again",
    )
    TPM_CHILD_ENDED = (
        "d650496898676a097a61ece06ab226b7",
        "the TPM's own process ended and is started again",
        "nothing once; often: look for a faulty TPM or library",
    )
    HEAD_FAILED = (
        "dc7b484bbabc6cf08c20720d6ba5bf79",
        "no head (checkpoint) could be made or signed",
        "follow `code`; what is recorded meanwhile is covered by the next head",
    )
    COUNTER_FAILED = (
        "7c1f4e0b9a6d4c53b0f2d8e617a3945c",
        "the counter that shows what a reset dropped could not be stepped",
        "follow the remedy; the next step finds out how far this one came",
    )
    FINDING = (
        "9f17ce4e4bc331700e64a8d68355a33f",
        "something that an assessor should know about this log or TPM",
        "follow the remedy; the finding itself is in the log for good",
    )
    ATTESTATION_FAILED = (
        "5f1a153a225a441263e0997368a4852c",
        "a scheduled collection could not be recorded",
        "follow `code`: most often the journal takes nothing",
    )
    ATTESTED_FAIL = (
        "0fab6f3c48bcfcae9bf154776d11840d",
        "a collector ran and its verdict is FAIL",
        "`swt3-agent attest` shows the reasons and remedies",
    )
    JOB_SKIPPED = (
        "97bd1db3f63e89f78457bb80406af6fb",
        "a collector still runs and was not started again",
        "nothing once; often: give it a longer interval",
    )
    CONTROL_REFUSED = (
        "eb3995a896672af648b9f0f6c5eb025b",
        "a request on the control socket was too long or failed",
        "see the traceback; report it",
    )
    JOURNAL_STOPPED = (
        "a02a38cb90f45abf1584a1ff8b2fdae4",
        "the journal takes no records: disk full, read-only or failing",
        "free space or mend the disk, then restart the agent",
    )
    JOURNAL_DAMAGED = (
        "3af54736b2fc5ea07354b17002786208",
        "bytes of the journal are not what was written",
        "`swt3-agent fsck`; restore the state directory from a backup",
    )
    CATALOGUE_REBUILT = (
        "99c928dcc920a07881ad5cea4eb4780e",
        "the index over the journal was not of this journal and is built again",
        "nothing",
    )
    DELIVERY_STOPPED = (
        "f41d20a09f31fc1e7e94dd45847c60b7",
        "the ledger refuses this node; nothing is delivered until that is mended",
        (
            "check the key, tenant and endpoint, then `systemctl reload swt3-agent`; for a new key"
            " in a variable or credential `systemctl restart swt3-agent`"
        ),
    )
    DELIVERY_FAILED = (
        "4efe67c9f7c5e9416dc0a99463948842",
        "the ledger was not reached or did not answer; it is tried again",
        "nothing for a while; then check the network and `swt3-agent doctor`",
    )
    DELIVERY_BACK = (
        "912c12c6c7c92999ae18985f8e50ff69",
        "records are delivered again",
        "nothing",
    )
    RECORD_REFUSED = (
        "3a6fd08ce8c221137a1d2a3009c18fba",
        "the ledger refused records for good",
        "`swt3-agent queue` lists them with the reason",
    )
    VERDICT_DIFFERS = (
        "be973a5c02744120ba7a6619fbf14e3a",
        "the ledger judged a record otherwise than this agent",
        "`swt3-agent log` has both verdicts in the receipt; find out whose rule is the right one",
    )
    CUSTODY_LACKING = (
        "91d0ce5868fc5f328df60d8f2e0b09e9",
        "what clearing removes cannot be kept, so nothing is sent on",
        "follow the remedy; records wait in the journal meanwhile",
    )
    CUSTODY_BACK = (
        "f81ad0b474509d623c2e39522052338b",
        "custody keeps what clearing removes again",
        "nothing",
    )
    STORE_BEHIND = (
        "f9185cb4826ea1fa514ed1b8c5e6923e",
        "something derived from the journal could not be written; it is caught up later",
        "look for a full or failing disk if it is said often",
    )
    GAP_UNRECORDED = (
        "ca5801c210109e3c5b1a40685a667424",
        "what the listeners refused could not be recorded yet",
        "follow `code`: most often the journal takes nothing",
    )
    LINE_LOST = (
        "264a5f666bac19ed59640296765b7a01",
        "a line for standard output could not be made",
        "follow `why`",
    )
    CONFIG_WARNING = (
        "3efad6abae8837d6e64b284b2f0dc621",
        "the configuration is valid, and its author should know this",
        "`swt3-agent config check` shows all of it",
    )
    INTERNAL_FAULT = (
        "de961d63ddd74276d17151b3ef607462",
        "something that was not foreseen; the agent goes on",
        "report it with its traceback",
    )
    OUTPUT_CLOSED = (
        "c50794b46bbf02387f40af242b1ee031",
        "standard output does not take lines any longer; the agent goes on without",
        "nothing, or restart it with a reader",
    )

    def __init__(self, message_id: str, meaning: str, remedy: str) -> None:
        self.message_id = message_id
        self.meaning = meaning
        self.remedy = remedy
