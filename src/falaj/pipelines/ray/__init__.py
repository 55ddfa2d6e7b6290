"""Steps on Ray: jobs under names that are known before they are submitted, in folders that every node sees."""
