"""The nouns, exactly as they lie on disk: frozen msgspec structs without I/O. A file that is stored carries `schema_version`."""
