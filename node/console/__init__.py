"""The console: the administration interface for people with a browser; it asks by the same routes as the API."""
