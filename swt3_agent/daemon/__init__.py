"""The composition root: wiring, scheduling, service notification, shutdown."""
