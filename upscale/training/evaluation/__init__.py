"""How good the weights are: scores on photographs, schedules found by search, and plots of runs."""
