"""What a federation owns in a member: ApplySet membership and the records of past applies."""
