"""From labels and prices to the router in force."""
