"""Pure decisions: no I/O, time handed in."""
