"""SendGrid's v3 API as far as sending and its event webhook go."""
