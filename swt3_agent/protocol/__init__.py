"""Pure rules, no I/O: what a second implementer must reproduce (see docs/)."""
