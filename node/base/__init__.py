"""Words that everybody shares: ids, refusals, limits. Pure; imports only the standard library."""
