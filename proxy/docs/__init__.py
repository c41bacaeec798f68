"""API documentation on the public port: Swagger UI, Redoc and their OpenAPI document, served without other hosts."""
