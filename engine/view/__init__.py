"""The tree viewer: what stores hold, in a browser, while they are written; it reads and never writes."""
