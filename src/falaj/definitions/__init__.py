"""What a project declares: frozen values that validate on construction and open nothing."""
