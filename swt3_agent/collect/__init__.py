"""One file per source of evidence, behind one small interface (collect/base.py)."""
