"""API documentation on the public port: Swagger UI, Redoc and their OpenAPI document, without files of other hosts."""
