"""The papers' tasks, a room for each."""
