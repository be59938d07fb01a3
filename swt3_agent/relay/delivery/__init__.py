"""Records on their way to a ledger (docs/protocol.md 5).

lane          what is sent next, and what follows from each answer
  batches     records of the journal as the body of one POST
    gate      which of them may leave this node
  ledger      the POST itself, over HTTP, to its ``address``
    answers   what an answer means: pure, from status, headers and body to an outcome
  jitter      how long to wait after a failure
  interfaces  what the daemon hands in
"""
