"""What a process that stays knows of its members between runs: lists, kept up by watches."""
