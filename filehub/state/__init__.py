"""What the server remembers: SQLite files in the state folder."""
