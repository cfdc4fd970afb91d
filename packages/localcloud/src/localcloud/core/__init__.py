"""The local cloud's own machinery: its process, HTTP, state, and the connection to ministack."""
