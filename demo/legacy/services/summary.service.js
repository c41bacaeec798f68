const { codes } = require("../config/instructions");
const { complete } = require("../config/openai");

exports.summarise = async function summarise(instructions, text) {
  const answer = await complete(instructions, text);
  return answer.trim();
};

exports.findHighlights = async function findHighlights(summary, text) {
  return JSON.parse(await complete(codes(summary), text));
};
