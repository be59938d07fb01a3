"""What keeps an agent from doing its work on this machine, and what to do about it.

``examination`` runs every check; each is a small function of what it looks at, and none changes
anything. They work beside a running daemon and without one, for root, the agent's user and others.
"""
