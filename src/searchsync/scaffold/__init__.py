"""How a table becomes an entity: its files are written, and proven before anything is live."""
