"""A stand-in for Zalo: template messages to phone numbers, OAuth v4, webhooks."""
