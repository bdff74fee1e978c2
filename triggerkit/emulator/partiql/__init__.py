"""PartiQL as DynamoDB has it: SELECT, INSERT, UPDATE, DELETE and EXISTS on one table each.

Rule: a statement becomes the same conditions, actions and writes that expressions become, so that both
ways to say a thing do the same thing; what DynamoDB does not have is a ValidationException.
"""
