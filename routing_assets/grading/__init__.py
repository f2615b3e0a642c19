"""Grades of answers: whether each is right, by rules, by a function of the user, or by a judge."""
