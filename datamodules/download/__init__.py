"""Published data sets: fetched, checked, unpacked and put in place, or not at all."""
