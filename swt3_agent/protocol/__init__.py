"""Pure rules, no I/O: what a second implementer must reproduce (see docs/).

anchors     ``fingerprint`` (``unique_time``, ``latency``), ``anchor`` (the token), ``payload``
            (``context``, ``operational``, ``bulk``), ``signing``, ``procedures``, ``catalogue``
evidence    from a collector, by ``claims``; ``appraisal`` judges it, ``history`` compares it
clearing    what leaves at which level; ``custody`` of the rest: ``custody_file``, ``custodian``,
            ``handoff``
the log     ``record``, ``log_tree``, ``compact_range``, ``checkpoint``, ``gaps``; ``tpm_clock``
keys        ``enrolment``, ``trust``; ``key_record``, ``succession``
boot        ``boot_state`` against ``reference`` values (their ``reference_names``), and the
            ``reference_reasons`` where they differ; ``baseline``: who accepted which;
            ``pcr_values`` as text
days        whose tree an anchor is in: ``merkle``, ``day_tree``
handed on   ``proof``, ``bundle`` (``bundle_evidence``, ``ustar``), ``receipts``; ``statement`` in
            its envelope, ``dsse``, made by ``stating``
JSON, text  ``canonical``, ``strict_json``, ``note``
"""
