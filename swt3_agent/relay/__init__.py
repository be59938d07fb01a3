"""What peers say, and what is told to a ledger.

intake            the Unix socket; ``sharing`` and ``limits`` keep its connections from each other
  connection      lines in, answers out; ``origin``: who is at the other end
  request         a line, taken apart; ``elements`` of its lists; ``answers`` to it
  reception       where a request goes: to the submissions, or to the sentinel
http_app          the ledger's interface over HTTP: ``http_guard`` (who may), ``http_body``,
                  ``http_answers``, ``receipts``

submissions       from a submission to its answer; ``mailbox`` leads back into the event loop
  batches         judged a portion at a time, stored once
  judgement       which records are kept, and as what: pure; ``cleared_bytes`` splices
sentinel          operations of sentinel clients: ``sentinel_request``, ``tool_policy``, ``opaque``
sink              where records go: what the daemon hands in
counters          for status and metrics

delivery          records on their way to a ledger
"""
