"""What comes in from inference processes and goes out to a ledger or a bundle."""
