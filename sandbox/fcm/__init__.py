"""A stand-in for Firebase Cloud Messaging, HTTP v1, and for Google's token endpoint."""
