"""From a marketer's sentence to validated calls, and from a plan to one decision per profile."""
