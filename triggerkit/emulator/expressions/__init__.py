"""DynamoDB's expression language: conditions, updates, projections, key conditions.

Rule: an expression is read and checked whole before any item is looked at, so a bad one fails the same
way on an empty table; reading and judging never touch state.
"""
