"""Custody: what clearing removed, kept apart from the log (docs/formats.md, "Custody").

keeper      entries in, one write and one sync for all that wait; to the spool while the primary
            place cannot take them
shelves     the two ways to keep them: ``log_shelf`` encrypts many into one file, ``file_shelf``
            writes a handoff file for each; ``shelf``: what both do
opening     which of them where, as it is configured
trouble     why one cannot keep something
reader      an encrypted file, read by whoever has the key
"""
