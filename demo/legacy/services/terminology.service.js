const axios = require("axios");

const AUTH_URL =
  process.env.NHS_AUTH_URL ||
  "https://ontology.nhs.uk/authorisation/auth/realms/nhs-digital-terminology/protocol/openid-connect/token";
const API_URL = process.env.NHS_API_URL || "https://ontology.nhs.uk/production1/fhir/";
const VALUE_SET =
  "http://snomed.info/sct/83821000000107/version/20240508?fhir_vs=isa/138875005";

async function fetchToken() {
  const { data } = await axios.post(
    AUTH_URL,
    new URLSearchParams({
      grant_type: "client_credentials",
      client_id: process.env.NHS_CLIENT_ID,
      client_secret: process.env.NHS_CLIENT_SECRET,
    }),
    { headers: { "Content-Type": "application/x-www-form-urlencoded" } }
  );
  return data.access_token;
}

exports.expand = async function expand(name) {
  const token = await fetchToken();
  const { data } = await axios.get(`${API_URL}ValueSet/$expand`, {
    params: { url: VALUE_SET, filter: name, count: 10 },
    headers: { Authorization: `Bearer ${token}` },
  });
  return data.expansion.contains;
};
