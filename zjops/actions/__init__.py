"""What operators do to jobs, deliveries and the relayer: looked at first, then done one by one. Knows no terminal."""
