"""The vocabulary: pure values and rules that every other room shares. It imports nothing of ours."""
