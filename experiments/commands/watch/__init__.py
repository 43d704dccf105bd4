"""`faithful-aad watch`: scores, alarms and events of a running machine, as JSON lines."""
