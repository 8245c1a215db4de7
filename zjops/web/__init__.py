"""`zjops top --web`: a terminal program in a browser of this machine. Knows nothing of the program that it shows."""
