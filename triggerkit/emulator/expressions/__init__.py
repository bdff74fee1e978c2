"""DynamoDB's expression language: conditions, updates, projections, key conditions.

An expression is read and checked whole before any item is looked at, so a wrong one fails the same way on an empty
table. Nothing here changes state.
"""
