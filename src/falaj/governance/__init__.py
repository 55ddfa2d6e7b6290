"""Who may do what, who approved, and the record of it: judges (actor, action, resource)."""
