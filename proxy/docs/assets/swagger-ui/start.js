// Ours, not Swagger's: shows what the page names; no validator elsewhere is asked for its opinion.
const place = document.getElementById("api");

SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  showExtensions: true,
  validatorUrl: null,
});
