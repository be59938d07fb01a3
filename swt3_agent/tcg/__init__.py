"""TPM structures, Names, PCR arithmetic and event logs by struct alone: no I/O, no TSS."""
