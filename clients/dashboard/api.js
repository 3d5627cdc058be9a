// Shows the service's own OpenAPI document. Nothing is asked of any other host, not even to validate it.

SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", validatorUrl: null, defaultModelsExpandDepth: 0 });
