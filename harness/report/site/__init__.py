"""Pages of HTML, each a file of its own: styles and script inside, no other host, nothing to load."""
