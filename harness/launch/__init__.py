"""How a server is started, watched until it answers, and stopped on every path."""
