"""swt3-agent: what a GPU node is and does, as evidence a stranger can verify."""

__version__ = "0.1.0"
