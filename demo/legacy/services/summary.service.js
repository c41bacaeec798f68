const { complete } = require("../config/openai");

function codingInstructions(summary) {
  return (
    "You are a clinical coding assistant. Extract the key medical terms of the consultation and suggest a" +
    " SNOMED CT code for each. Answer with a JSON array only, no markdown and no commentary, in the form" +
    ' [{"term": "...", "possible_snomed": "..."}].\n\nThe consultation\'s summary:\n' +
    summary
  );
}

exports.summarise = async function summarise(instructions, text) {
  const answer = await complete(instructions, text);
  return answer.trim();
};

exports.findHighlights = async function findHighlights(summary, text) {
  return JSON.parse(await complete(codingInstructions(summary), text));
};
