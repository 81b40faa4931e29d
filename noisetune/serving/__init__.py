"""What is run where a network is served, and not where it is made."""
