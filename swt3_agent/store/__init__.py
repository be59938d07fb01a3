"""The journal and what is derived from it: the log tree, heads, catalogue, evidence, proofs."""
