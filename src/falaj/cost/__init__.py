"""What a run or a prediction costs: metered use times prices."""
