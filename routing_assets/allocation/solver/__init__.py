"""The solver: a knapsack by its Lagrangian dual, and whole numbers near the relaxation. It knows no policy."""
