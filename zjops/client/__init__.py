"""The only way by which the toolkit reaches a platform: its public interfaces."""
