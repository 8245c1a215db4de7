"""`zjops top`: the terminal that an operator leaves open. The modules without widgets load no Textual."""
