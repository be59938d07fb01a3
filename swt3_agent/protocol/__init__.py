"""Pure rules, no I/O: what a second implementer must reproduce (docs/formats.md, docs/protocol.md)."""
