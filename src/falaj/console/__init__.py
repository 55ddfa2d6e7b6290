"""The pages of the control process."""
