"""What an inference process imports: emit() and Client, on the standard library alone."""
