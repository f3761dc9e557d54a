"""Results and plans as text. Everything here returns strings; nothing prints."""
