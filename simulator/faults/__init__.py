"""Faults that are put around what they break, and never inside it: wrappers of ports, proxies of links, signals."""
