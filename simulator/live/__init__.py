"""Following jobs live: what happened to each, in order and without a gap, for WebSocket and SSE."""
