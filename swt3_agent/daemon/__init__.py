"""The composition root: what joins the stages, and the daemon around it.

service         the daemon, from its start to its stop; ``sockets`` (``inherited``,
                ``bearer_token``) listen before anything is recorded, ``schedule`` is its clock,
                ``reload`` its SIGHUP
node            a node that is open: store, collectors, TPM (``node_tpm``, ``back_off``)
  node_heads      when they are signed, at what ``pace``; ``node_counter``: when it is stepped
  node_keys       which key signs
  start_records   what it says of itself, ``identity`` who it is, ``earlier_findings`` since boot
  collectors      what it watches; of its own log ``audit`` and ``coverage_collector``
  minter          in whose name; ``runs``: what came of each collector last
stopped         the log where no daemon runs

listeners       what comes in: intake and HTTP; ``sink`` takes it through custody into the journal,
                ``gaps`` records what was refused
delivery        what goes to a ledger: ``lanes`` begins and ends it, ``settling`` keeps the answers
airgap          what goes out in bundles; ``receipts`` come back, ``replay`` is the other side's

asking          who answers a verb: the daemon over ``control``, or the node or its log, of which
                ``own_node`` opens one
  operations      what can be asked; behind it ``views``, ``queue``, ``custody``, ``merkle``,
                  ``history``, ``coverage``, ``readiness`` and the air gap; ``enrolment``,
                  ``keys``, ``baseline``, ``boot_logs`` and ``statement``
  caller          who asks
  doctor          what can be asked of the machine
ops_app         health and metrics over ``http_server``: ``metrics`` of ``families``, ``readiness``
json_lines      the agent's anchors on standard output

``breath`` rests long work, ``disk`` is the room that is left, ``times`` writes moments.
"""
