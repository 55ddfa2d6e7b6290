"""What operations take and give: plain values, light enough for a command that only asks a running control."""
