"""The recording: what an operator's terminal has seen, in one SQLite file that can be paged and played again."""
