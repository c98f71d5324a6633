"""The replicated register: one small value that a majority of clusters holds (docs/seats.md)."""
