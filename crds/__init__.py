"""The API: models of every kind Stentor reads, the one source of truth for what is valid."""
