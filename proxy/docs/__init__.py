"""Pages that show the API on the public port: Swagger UI, Redoc, and the OpenAPI that both read; all of it shipped."""
