"""`predict` and `watch`: from the scores of recordings to alarms and events, by those of normal recordings."""
